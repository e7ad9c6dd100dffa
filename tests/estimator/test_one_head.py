"""A head by itself: named or a column, alone or the only one that is asked for."""

import keras
import numpy as np
import pandas as pd
import pytest

from keras_mm import Head, MultimodalClassifier
from keras_mm.estimator.options import settings_for_heads
from keras_mm.settings.settings import Settings

pytestmark = pytest.mark.eager

WORDS = ("red", "green", "blue")
SIZE = {"text": WORDS * 8, "label": [0, 1, 2] * 8}
TABLE = pd.DataFrame(SIZE | {"tags": [["r"], [], ["r", "g"]] * 8, "price": [1.0, 2.5, 4.0] * 8})


def trained(labels, **options):
    model = MultimodalClassifier(
        texts=["text"], labels=labels, preset="tiny", text_trainable=False, epochs=2, verbose=0,
        **options,
    )  # fmt: skip
    return model.fit(TABLE, validation_data=TABLE[:9])


@pytest.mark.parametrize(
    ("column", "head", "kind"),
    [
        ("label", Head(), "multiclass"),
        ("tags", Head("multilabel"), "multilabel"),
        ("price", Head("regression"), "regression"),
    ],
)
def test_a_column_and_a_head_of_it_are_the_same(column, head, kind):
    plain, named = trained(column, head=kind), trained({column: head})
    assert list(plain.heads_) == ["label"] and list(named.heads_) == [column]
    assert plain.history_ == named.history_
    assert plain.classes_.tolist() == named.classes_.tolist()
    np.testing.assert_array_equal(plain.predict(TABLE), named.predict(TABLE))
    pd.testing.assert_frame_equal(plain.predict_frame(TABLE), named.predict_frame(TABLE))
    both = [model.evaluate(TABLE) for model in (plain, named)]
    assert [list(one.heads) for one in both] == [["label"], [column]]
    assert both[0].metrics == both[1].metrics
    assert plain.score(TABLE) == named.score(TABLE)


def test_the_weight_of_a_head_by_itself_is_nothing():
    """A loss without another beside it is not weighed, neither in training nor in `val_loss`."""
    one, heavy = (trained({"label": Head(loss_weight=weight)}) for weight in (1.0, 5.0))
    assert one.history_ == heavy.history_


def test_inside_all_is_by_head():
    model = trained("label")
    predictor = model.predictor_
    rows = predictor.rows(TABLE, heads=model.heads_)
    assert list(rows.labels) == list(predictor.logits(rows)) == list(model.priors_) == ["label"]
    assert rows.take([2, 0]).labels["label"].tolist() == [2, 0]
    assert predictor.rows(TABLE).labels == {}


def test_a_monitored_head_is_found_among_several():
    """`val_accuracy` of the only head gets its name where another head is trained too."""
    model = trained("label", training={"monitor": "val_accuracy"})
    model.add_head("price", Head("regression"))
    model.fit_head(["label", "price"], TABLE, validation_data=TABLE[:9])
    assert {"val_label_accuracy", "val_price_r2"} <= set(model.history_)


def test_a_head_training_that_fails_says_what_is_kept(caplog):
    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            raise OSError

    model = trained("label")
    before = model.predict_proba(TABLE)
    with caplog.at_level("WARNING", "keras_mm"), pytest.raises(OSError):
        model.fit_head("label", TABLE, validation_data=TABLE[:9], callbacks=[Stop()])
    assert "keeps the model that it had" in caplog.text
    np.testing.assert_array_equal(model.predict_proba(TABLE), before)


@pytest.mark.backend_free
@pytest.mark.parametrize(
    ("monitor", "own", "trained_heads", "expected"),
    [
        ("val_loss", "a", "ab", "val_loss"),
        ("val_accuracy", "a", "a", "val_accuracy"),
        ("val_accuracy", "a", "b", "val_accuracy"),  # of the same kind
        ("val_accuracy", "a", "n", "val_loss"),
        ("val_accuracy", "a", "an", "val_a_accuracy"),
        ("val_accuracy", "a", "bn", "val_loss"),
        ("val_a_accuracy", "ab", "a", "val_accuracy"),
        ("val_a_accuracy", "ab", "b", "val_loss"),
        ("val_a_accuracy", "ab", "an", "val_a_accuracy"),
        ("val_a_accuracy", "ab", "bn", "val_loss"),
        ("val_a_accuracy", "a", "b", "val_loss"),
        ("val_custom", "ab", "ab", "val_custom"),
        ("custom", "a", "n", "custom"),
    ],
)
def test_the_monitored_metric_of_other_heads(monitor, own, trained_heads, expected):
    """`fit_head` trains other heads than the settings' own, and logs have other names then."""
    kinds = {"a": Head(classes=2), "b": Head(classes=2), "n": Head("regression", classes=("n",))}
    settings = Settings(
        labels={name: kinds[name] for name in own}, training={"monitor": monitor}, preset="tiny"
    )
    chosen = {name: kinds[name] for name in trained_heads}
    found, _ = settings_for_heads(settings.resolved(), chosen)
    assert found.training.monitor == expected
