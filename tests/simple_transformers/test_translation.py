"""Settings of Simple Transformers become those of the classifier."""

import pytest

from keras_mm.errors import ConfigError, PretrainedError
from keras_mm.settings.heads import Head
from keras_mm.simple_transformers.args import ClassificationArgs
from keras_mm.simple_transformers.translation import (
    errors_in_their_names,
    text_settings,
    window_settings,
)

pytestmark = pytest.mark.backend_free


def test_a_tie_is_a_label_or_the_place_of_one():
    def tie(value, head):
        args = ClassificationArgs(sliding_window=True, tie_value=value)
        return window_settings(args, head, False)["tie_value"]

    assert tie(1, Head(classes=("x", "y"))) == "y" and tie("x", Head(classes=("x", "y"))) == "x"
    assert tie(1, Head(classes=(1, 0))) == 1 and tie(1, Head("regression")) is None
    with pytest.raises(ValueError, match="`tie_value` must be one of"):
        tie(2, Head(classes=("x", "y")))
    assert window_settings(ClassificationArgs(), Head(classes=2), False) is None


def test_a_text_network_needs_a_name():
    args = ClassificationArgs(model_type="bert", model_name="tiny_bert", max_seq_length=17)
    assert text_settings(args)["text_backbone"] == "tiny_bert"
    assert text_settings(args)["sequence_length"] == 17
    with pytest.raises(ValueError, match="must name a text network.*model_name=None"):
        text_settings(ClassificationArgs(model_type="bert"))


def test_errors_have_the_names_of_simple_transformers():
    words = "in the args:\n.*`num_train_epochs` must"
    with pytest.raises(ConfigError, match=words), errors_in_their_names():
        raise ConfigError(["`epochs` must be an integer"])
    with pytest.raises(PretrainedError, match="as `model_name`"), errors_in_their_names():
        raise PretrainedError("pass its path as `text_weights`")
