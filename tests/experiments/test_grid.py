"""Grids of settings."""

import keras
import pytest

from keras_mm.errors import ConfigError
from keras_mm.experiments.grid import EXAMPLE_GRID, expand_grid
from keras_mm.settings.settings import Settings

pytestmark = pytest.mark.backend_free

BASE = Settings(images=("a",), texts=("b",), preset="tiny", training={"clipnorm": 0.5})


def test_every_combination_is_a_cell():
    cells = expand_grid(
        {"modalities": ["image_and_text", "text"], "training.gamma": [1, 3], "loss": ["focal"]},
        BASE,
    )
    assert [cell.name for cell in cells] == [
        "image_and_text, 1, focal", "image_and_text, 3, focal", "text, 1, focal", "text, 3, focal",
    ]  # fmt: skip
    settings = cells[3].apply(BASE)
    assert settings.images == () and settings.texts == ("b",) and settings.loss == "focal"
    assert settings.training == {"clipnorm": 0.5, "gamma": 3}
    assert len({cell.key(BASE) for cell in cells}) == 4


def test_the_table_of_the_example():
    cells = expand_grid(EXAMPLE_GRID, BASE)
    assert len(cells) == 9 and cells[4].values == {"modalities": "image", "objective": "weighted"}
    assert cells[4].settings == {"loss": "cross_entropy", "class_weight": "balanced"}


def test_a_key_names_what_the_result_depends_on():
    (cell,) = expand_grid({"epochs": [3]}, BASE)
    (same,) = expand_grid({"objective": {"three": {"epochs": 3}}}, BASE)
    assert cell.key(BASE) == same.key(BASE) == cell.key(Settings(**{**vars(BASE), "verbose": 0}))
    assert cell.key(BASE) != cell.key(Settings(**{**vars(BASE), "fusion": "gated"}))


def test_a_key_names_the_weights_of_a_network_of_the_users():
    def network():
        layers = [keras.Input((2,), name="in"), keras.layers.Dense(3, name="out")]
        return keras.Sequential(layers, name="net")

    first, second = network(), network()
    grid = {"net": {"a": {"text_backbone": first}, "b": {"text_backbone": second}}}
    one, other = expand_grid(grid, BASE)
    assert repr(first) == repr(second) and one.key(BASE) != other.key(BASE)
    second.set_weights(first.get_weights())
    assert one.key(BASE) == other.key(BASE)


def test_a_cell_of_images_alone_cuts_no_texts():
    base = Settings(images=("a",), texts=("b",), sliding_window=True)
    image, text = expand_grid({"modalities": ["image", "text"]}, base)
    assert image.apply(base).sliding_window is None and image.apply(base).texts == ()
    assert text.apply(base).sliding_window is True and text.apply(base).images == ()


def test_a_key_changes_with_the_weights_in_a_file(tmp_path):
    file = tmp_path / "weights.h5"
    file.write_bytes(b"one")
    base = Settings(texts=("b",), text_weights=file)
    (cell,) = expand_grid({"epochs": [2]}, base)
    before = cell.key(base)
    assert cell.key(base) == before
    file.write_bytes(b"other")
    assert cell.key(base) != before


@pytest.mark.parametrize(
    ("grid", "told"),
    [
        ({}, "a dict of axes"),
        ({"los": ["focal"]}, "Unknown axis 'los'. Did you mean 'loss'"),
        ({"loss": "focal"}, "must be a list of values"),
        ({"loss": []}, "must be a list of values"),
        ({"loss": ["focal", "focal"]}, "a value twice"),
        ({"class_weight": [None, "None"]}, "a value twice"),
        (
            {"loss": ["focal"], "kind": {"a": {"loss": "cross_entropy"}}},
            "`loss` is set by the axes .*'loss', 'kind'",
        ),
        ({"accuracy": {"a": {"loss": "focal"}}}, "`accuracy` is a column of the results"),
        ({"seed": [1, 2]}, "is the same in all cells"),
        ({"modalities": ["sound"]}, "Unknown value of `modalities`: 'sound'"),
        ({"kind": {"a": {"los": 1}}}, "Unknown setting of the axis `kind`: 'los'"),
        ({"kind": {"a": 3}}, "a dict of names to settings"),
        ({"epochs": [1, 0], "loss": ["focal"]}, "0, focal: `epochs` must be"),
        ({"training.gama": [1]}, "training.gama"),
    ],
)
def test_whatever_is_wrong_is_named_before_anything_runs(grid, told):
    with pytest.raises(ConfigError, match=told):
        expand_grid(grid, BASE)


def test_a_modality_that_the_table_lacks():
    with pytest.raises(ConfigError, match="image, 2: the table has no images"):
        expand_grid({"modalities": ["text", "image"], "epochs": [2]}, Settings(texts=("b",)))
    grid = {"loss": ["focal", "nonsense"], "epochs": [0]}
    with pytest.raises(ConfigError) as caught:
        expand_grid(grid, BASE)
    assert len(caught.value.problems) == 3  # all of them at once
