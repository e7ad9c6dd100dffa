"""Pictures of rows: what is drawn, from where, and what is refused."""

import io
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from keras_mm.data.images.cells import ImageError
from keras_mm.plots.table_rows import plot_rows

pytestmark = pytest.mark.backend_free


def tile(colour, size=(7, 5)):
    return Image.new("RGB", size, colour)


def text_of(panel):
    return "\n".join(text.get_text() for text in panel.texts)


def colours(figure):
    """The first pixel of every image drawn, in order."""
    return [tuple(map(int, p.images[0].get_array()[0, 0])) for p in figure.axes if p.images]


@pytest.fixture
def table():
    return pd.DataFrame(
        {
            "image_1": [tile((i, 0, 0)) for i in range(5)],
            "image_2": [tile((0, i, 0)) for i in range(5)],
            "text_1": [f"first text {i}" for i in range(5)],
            "text_2": [f"second text {i}" for i in range(5)],
            "label": list("abcde"),
        }
    )


def test_every_row_shows_its_images_texts_and_label(table):
    figure = plot_rows(table, num_rows=3)
    assert colours(figure) == [(0, 0, 0), (0, 0, 0), (1, 0, 0), (0, 1, 0), (2, 0, 0), (0, 2, 0)]
    panels = figure.axes[2::3]
    assert [p.get_title(loc="left") for p in panels] == ["a", "b", "c"]
    for i, panel in enumerate(panels):
        assert f"first text {i}" in text_of(panel) and f"second text {i}" in text_of(panel)


def test_columns_are_drawn_as_named(table):
    figure = plot_rows(table, images=["image_2"], texts=["text_2"], labels=None, num_rows=2)
    assert colours(figure) == [(0, 0, 0), (0, 1, 0)]
    assert [p.get_title(loc="left") for p in figure.axes] == [""] * 4
    assert text_of(figure.axes[1]) == "text_2: second text 0"
    assert len(plot_rows(table, images=(), num_rows=2).axes) == 2


def test_images_keep_their_proportions(table):
    panel = plot_rows(table, num_rows=1).axes[0]
    assert panel.images[0].get_array().shape == (5, 7, 3)
    assert panel.get_aspect() == 1.0


def test_missing_cells_say_so(table):
    table.loc[0, "text_2"] = None
    table["image_2"] = [None, *table["image_2"][1:]]
    table.loc[0, "label"] = None
    figure = plot_rows(table, num_rows=1)
    assert not figure.axes[1].images and text_of(figure.axes[1]) == "missing"
    assert "text_2: (missing)" in text_of(figure.axes[2])
    assert figure.axes[2].get_title(loc="left") == "(no label)"


def test_long_texts_are_wrapped_and_cut(table):
    table.loc[0, "text_1"] = "word " * 50
    table.loc[1, "text_1"] = "word " * 5000
    whole, cut = (text_of(p) for p in plot_rows(table, num_rows=2).axes[2::3])
    assert whole.count("word") == 50 and "…" not in whole
    assert "…" in cut and cut.count("\n") < 20
    assert max(map(len, cut.splitlines())) <= 60


def test_text_is_drawn_as_it_is(table):
    table.loc[0, "text_1"] = "costs $\\frac$"
    table.loc[0, "label"] = "$\\frac$"
    figure = plot_rows(table, num_rows=1)
    figure.savefig(io.BytesIO())  # raises if it is taken for a formula
    assert "costs $\\frac$" in text_of(figure.axes[2])


def test_a_seed_draws_the_same_rows_each_time(table):
    draws = [colours(plot_rows(table, images=["image_1"], seed=seed)) for seed in (3, 3, 4, 5)]
    assert draws[0] == draws[1]
    assert len({tuple(draw) for draw in draws}) > 1
    assert len(set(draws[0])) == 4
    assert colours(plot_rows(table, images=["image_1"])) == [(i, 0, 0) for i in range(4)]


def test_fewer_rows_than_asked_for(table):
    assert len(plot_rows(table.head(2), num_rows=9).axes) == 6


def test_every_kind_of_cell(sample, tmp_path, table):
    tile((3, 0, 0)).save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    cells = [
        str(tmp_path / "a.png"),
        data,
        {"bytes": data, "path": "x"},
        np.full((5, 7, 3), 3, "u1"),
    ]
    table = table.head(4).assign(image_1=pd.Series(cells, dtype=object))
    drawn = colours(plot_rows(table, images=["image_1"]))
    assert drawn[:3] == [(3, 0, 0)] * 3 and drawn[3] == (3, 3, 3)
    assert len(colours(plot_rows(sample[0], num_rows=2))) == 4


def test_paths_are_relative_to_the_right_folder(table, tmp_path, monkeypatch):
    for folder, red in (("named", 1), ("noted", 2), ("working", 3)):
        (tmp_path / folder).mkdir()
        tile((red, 0, 0)).save(tmp_path / folder / "a.png")
    monkeypatch.chdir(tmp_path / "working")
    table = table.head(1).assign(image_1="a.png")
    options = {"images": ["image_1"], "num_rows": 1}
    assert colours(plot_rows(table, **options)) == [(3, 0, 0)]
    table.attrs["keras_mm"] = {"image_dir": str(tmp_path / "noted")}
    assert colours(plot_rows(table, **options)) == [(2, 0, 0)]
    assert colours(plot_rows(table, image_dir=tmp_path / "named", **options)) == [(1, 0, 0)]
    outside = table.assign(image_1="../noted/a.png")
    with pytest.raises(ImageError, match="outside image_dir"):
        plot_rows(outside, image_dir=tmp_path / "named", **options)


def test_a_table_file_is_read(table, tmp_path):
    tile((9, 0, 0)).save(tmp_path / "a.png")
    (tmp_path / "t.csv").write_text("image,text,label\na.png,NA,yes\n,only text,no\n")
    figure = plot_rows(tmp_path / "t.csv", images=["image"], texts=["text"])
    assert colours(figure) == [(9, 0, 0)]
    assert text_of(figure.axes[1]) == "text: NA"
    assert text_of(figure.axes[2]) == "missing"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"images": ["image_3"]}, "no column 'image_3'. Did you mean 'image_"),
        ({"labels": "lable"}, "no column 'lable'. Did you mean 'label'"),
        ({"texts": "text_1"}, "`texts` must be a list of columns. Received: texts='text_1'"),
        ({"images": (), "texts": ()}, "name at least one column"),
        ({"num_rows": 0}, "`num_rows` must be an integer >= 1. Received: num_rows=0"),
        ({"num_rows": 1.5}, "Received: num_rows=1.5"),
    ],
)
def test_what_is_refused(table, options, message):
    with pytest.raises(ValueError, match=message):
        plot_rows(table, **options)


def test_no_global_state_and_the_table_stays(table, tmp_path):
    before = table.copy()
    plot_rows(table).savefig(tmp_path / "rows.png")
    assert Image.open(tmp_path / "rows.png").size[0] > 500
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or not pyplot.get_fignums()
    assert table.attrs == {} and table.equals(before)
