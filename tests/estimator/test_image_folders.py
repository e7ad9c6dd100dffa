"""Each table's images are read from the table's own folder, whatever their names."""

import pandas as pd
import polars as pl
import pytest
from PIL import Image

from keras_mm.cli.run_rows import prepare_run
from keras_mm.data.tables.load import load_beside, load_table
from keras_mm.errors import ConfigError
from keras_mm.estimator.prepare import FitArgs, prepare_fit
from keras_mm.settings.settings import RunSettings, Settings

pytestmark = pytest.mark.backend_free

CELLS = {"image": ["1.png", "2.png"] * 4, "text": ["a", "b"] * 4, "label": ["x", "y"] * 4}


def write(folder, images=True):
    """A folder with a table and, of the same names in each, its images."""
    folder.mkdir()
    for name in ("1.png", "2.png") if images else ():
        Image.new("RGB", (4, 4)).save(folder / name)
    pd.DataFrame(CELLS).to_csv(folder / "rows.csv", index=False)
    return folder


@pytest.fixture
def folders(tmp_path):
    """Two folders with images, and one that has the table only."""
    return write(tmp_path / "train"), write(tmp_path / "val"), write(tmp_path / "bare", False)


def test_the_folder_of_a_table_beside_another(folders):
    train, val, bare = folders

    def folder_of(source, image_dir=train, images=("image",)):
        return load_beside(source, image_dir, images).attrs["keras_mm"]["image_dir"]

    frame = pd.DataFrame(CELLS)
    for source in (
        val / "rows.csv",
        load_table(val / "rows.csv"),
        load_table(frame, image_dir=val),
    ):
        assert folder_of(source) == str(val)
        assert folder_of(source, None) == str(val)
    for source in (bare / "rows.csv", frame, train / "rows.csv"):
        assert folder_of(source) == str(train)
    assert folder_of(val / "rows.csv", images=("other",)) == str(train)
    # A folder that was named for the table counts, even if nothing is there.
    assert folder_of(load_table(frame, image_dir=bare)) == str(bare)
    assert load_beside(val / "rows.csv", train, ["image"]).attrs["keras_mm"]["confined"]
    odd = frame.assign(image=["\0", "x" * 5000, "", None, 7, b"", {"path": "1.png"}, "."])
    assert folder_of(load_table(odd), train) == str(train)


@pytest.mark.parametrize("image_dir", [True, False])
def test_validation_rows_of_an_estimator(folders, image_dir):
    train, val, _ = folders
    settings = Settings(images=["image"], texts=["text"], preset="tiny")
    data = pd.DataFrame(CELLS) if image_dir else train / "rows.csv"
    given = FitArgs(data, CELLS["label"], val / "rows.csv", image_dir=train if image_dir else None)
    parts = prepare_fit(settings, given, {}).parts
    for name, folder in (("train", train), ("val", val)):
        assert set(parts[name].images[0]) == {str(folder / "1.png"), str(folder / "2.png")}


@pytest.mark.parametrize("image_dir", [True, False])
def test_validation_and_test_rows_of_a_run(folders, image_dir):
    train, val, bare = folders
    shared = bare if not image_dir else train
    if not image_dir:
        for name in ("1.png", "2.png"):
            Image.new("RGB", (4, 4)).save(bare / name)
    settings = RunSettings(
        images=("image",),
        texts=("text",),
        data=str(train / "rows.csv"),
        validation_data=str(val / "rows.csv"),
        test_data=str(bare / "rows.csv"),
        image_dir=str(train) if image_dir else None,
    )
    parts = prepare_run(settings, progress=False)[1].parts
    for name, folder in (("train", train), ("val", val), ("test", shared)):
        assert set(parts[name].images[0]) == {str(folder / "1.png"), str(folder / "2.png")}


def test_rows_and_validation_rows_of_other_libraries(folders):
    train, val, _ = folders
    settings = Settings(images=["image"], texts=["text"], preset="tiny")
    frame = pl.DataFrame(CELLS)
    given = FitArgs(frame, None, iter(frame.to_dicts()), image_dir=train)
    parts = prepare_fit(settings, given, {}).parts
    assert {len(rows) for rows in parts.values()} == {8} and set(parts) == {"train", "val"}
    assert parts["train"].images == parts["val"].images
    nested = frame.with_columns(pl.struct("text").alias("label"), other=pl.struct("text"))
    with pytest.raises(ConfigError) as error:
        prepare_fit(settings, FitArgs(nested, image_dir=train), {})
    (problem,) = error.value.problems
    assert "the column 'label' holds records with the fields 'text'" in problem
