"""Pictures of augmented rows: what is drawn, and what is refused."""

import sys

import numpy as np
import pytest

import keras_mm
from keras_mm.plots.augmented_images import plot_augmentation

ROWS = [
    {"a": np.full((8, 12, 3), value, "uint8"), "b": np.arange(288, dtype="uint8").reshape(8, 12, 3)}
    for value in (10, 20, 30)
]
OPTIONS = {"images": ["a", "b"], "image_size": (8, 12), "num_draws": 5}


def drawn(figure, width):
    """Arrays by row of axes and column; `None` where there is no image."""
    panels = [p.images[0].get_array().data if p.images else None for p in figure.axes]
    return [panels[start : start + width] for start in range(0, len(panels), width)]


def test_each_image_is_drawn_unchanged_and_then_changed():
    figure = plot_augmentation(ROWS, {"flip": True}, num_rows=2, **OPTIONS)
    rows = drawn(figure, 6)
    assert [row[0][0, 0, 0] for row in rows] == [10, 0, 20, 0]
    for image, *changed in rows:
        assert all(
            np.array_equal(c, image) or np.array_equal(c, image[:, ::-1]) for c in changed
        )  # fmt: skip
    assert len({c.tobytes() for c in rows[1]}) == 2
    titles = [panel.get_title() for panel in figure.axes[:6]]
    assert titles == ["unchanged", "1", "2", "3", "4", "5"]
    assert [panel.get_ylabel() for panel in figure.axes[::6]] == ["a", "b", "a", "b"]


def test_a_seed_draws_the_same_changes_each_time():
    def look(seed):
        rows = drawn(plot_augmentation(ROWS, {"crop": 0.5}, seed=seed, **OPTIONS), 6)
        return b"".join(panel.tobytes() for row in rows for panel in row)

    assert look(3) == look(3) != look(4)


def test_a_missing_image_says_so(tmp_path):
    rows = [{"a": None, "b": ROWS[0]["b"]}]
    figure = plot_augmentation(rows, keras_mm.Augmentation(brightness=0.5), **OPTIONS)
    first, second = drawn(figure, 6)
    assert first == [None] * 6 and None not in [type(p) for p in second]
    assert figure.axes[0].texts[0].get_text() == "missing"
    figure.savefig(tmp_path / "changes.png")
    assert (tmp_path / "changes.png").stat().st_size > 1000
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or not pyplot.get_fignums()


def test_images_of_a_table_file(tmp_path):
    from PIL import Image

    Image.fromarray(ROWS[0]["b"]).save(tmp_path / "b.png")
    (tmp_path / "t.csv").write_text("image,label\nb.png,x\n")
    options = {"images": ["image"], "image_size": (8, 12), "num_draws": 1}
    for image_dir in (None, tmp_path):
        figure = plot_augmentation(tmp_path / "t.csv", {}, image_dir=image_dir, **options)
        ((image, same),) = drawn(figure, 2)
        assert np.array_equal(image, ROWS[0]["b"]) and np.array_equal(same, image)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_rows": 0}, "`num_rows` must be >= 1. Received: num_rows=0"),
        ({"num_draws": 0}, "`num_draws` must be >= 1"),
        ({"images": "a"}, "`images` must be a list of columns. Received: images='a'"),
        ({"images": []}, "`images` must be a list"),
        ({"images": ["c"]}, "no column 'c'"),
    ],
)
def test_what_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        plot_augmentation(ROWS, {"flip": True}, **{**OPTIONS, **options})
