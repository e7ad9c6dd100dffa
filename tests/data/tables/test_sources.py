"""Tables of other libraries: read as they are, or refused with their type and what to do."""

import datetime
import io

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from PIL import Image

from keras_mm.data.tables.labels import is_missing
from keras_mm.data.tables.load import load_table, table_parts
from keras_mm.data.tables.rows import check_table, read_rows
from keras_mm.data.tables.sources import as_frame, cells_of, is_table
from keras_mm.data.tables.splits import stratified_k_fold, stratified_split

pytestmark = pytest.mark.backend_free


def png(color=(1, 2, 3)):
    file = io.BytesIO()
    Image.new("RGB", (7, 5), color).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def frame():
    return pl.DataFrame(
        {
            "text": ["NA", None, "z"],
            "count": [1, None, 3],
            "yes": [True, None, False],
            "category": pl.Series(["u", "v", None], dtype=pl.Categorical),
            "choice": pl.Series(["u", "v", None], dtype=pl.Enum(["u", "v"])),
            "tags": [["red", "old"], [], None],
            "price": pl.Series(["1.5", None, "2"]).cast(pl.Decimal(10, 2)),
            "file": [b"a", None, b"c"],
            "share": [1.5, float("nan"), None],
            "day": [datetime.date(2020, 1, 2), None, None],
            "time": pl.Series([1, None, 3], dtype=pl.Time),
            "record": [{"name": "a"}, None, {"name": "c"}],
            "records": [[{"name": "a"}], [], [{"name": "b"}]],
            "image": [{"bytes": png(), "path": None}, {"bytes": None, "path": None}, None],
        }
    )


@pytest.fixture(scope="session")
def datasets():
    """The library, without PyTorch: it must not be loaded after TensorFlow."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("USE_TORCH", "0")
        patch.setenv("USE_TF", "0")
        patch.setenv("USE_JAX", "0")
        import datasets
    return datasets


def test_cells_of_a_polars_frame_keep_their_types(frame):
    table = load_table(frame)
    cells = {
        name: [None if is_missing(cell) else cell for cell in table[name]] for name in table.columns
    }
    assert list(table.columns) == frame.columns and table.index.tolist() == [0, 1, 2]
    assert cells["text"] == ["NA", None, "z"]
    assert cells["count"] == [1, None, 3] and isinstance(cells["count"][0], int)
    assert cells["yes"] == [True, None, False]
    assert cells["category"] == cells["choice"] == ["u", "v", None]
    assert cells["tags"] == [["red", "old"], [], None]
    assert cells["price"] == [1.5, None, 2.0]
    assert cells["file"] == [b"a", None, b"c"]
    assert cells["share"] == [1.5, None, None]
    assert cells["day"] == [datetime.date(2020, 1, 2), None, None]
    assert cells["time"][1] is None and "00:00:00" in cells["time"][0]
    assert cells["image"] == [{"bytes": png(), "path": None}, None, None]


class Interchange:
    """A table of which nothing is known but the interchange protocol."""

    def __init__(self, table):
        self.table = table

    def __dataframe__(self, *args, **kwargs):
        return self.table.__dataframe__(*args, **kwargs)


@pytest.mark.parametrize(
    "kind",
    [
        lambda table: table,
        lambda table: table.combine_chunks().to_batches()[0],
        lambda table: table.to_reader(),
        lambda table: pl.DataFrame(table),
        Interchange,
        lambda table: table.to_pylist(),
        lambda table: iter(table.to_pylist()),
        lambda table: {row["text"]: row for row in table.to_pylist()}.values(),
    ],
)
def test_protocols_and_rows_give_the_same_table(kind):
    rows = pa.table({"text": pa.array(["a", "b", None], pa.large_string()), "label": [1, 0, None]})
    table = load_table(kind(rows))
    assert [None if is_missing(cell) else cell for cell in table["text"]] == ["a", "b", None]
    labels = [None if is_missing(cell) else int(cell) for cell in table["label"]]
    assert labels == [1, 0, None]


def test_two_columns_of_one_name_are_reported_where_they_are_read():
    table = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["text", "text"])
    (problem,) = check_table(table, texts=["text"])
    assert "2 columns are named 'text'" in problem.message


def test_parts_of_a_table_and_of_a_generator():
    taken = []

    def rows():
        for number in range(5):
            taken.append(number)
            yield {"n": number}

    parts = table_parts(rows(), 2)
    assert next(parts)["n"].tolist() == [0, 1] and len(taken) == 2
    assert [part.index.tolist() for part in parts] == [[2, 3], [4]]
    frame = pl.DataFrame({"n": range(5)})
    assert [part.index.tolist() for part in table_parts(frame, 2)] == [[0, 1], [2, 3], [4]]
    floats = pd.DataFrame({"n": range(3)}, index=[0.5, 7.0, 7.0])
    assert [part.index.tolist() for part in table_parts(floats, 2)] == [[0.5, 7.0], [7.0]]
    assert [len(part) for part in table_parts(frame[:0], 2, allow_empty=True)] == [0]
    for empty in (frame[:0], iter([])):
        with pytest.raises(ValueError, match="has no rows"):
            next(table_parts(empty, 2))


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (pl.DataFrame({"a": [1]}).lazy(), r"polars\.lazyframe\.frame\.LazyFrame.*`collect\(\)`"),
        (pl.Series([1]), r"polars\.series\.series\.Series.*`to_frame\(\)`"),
        (pd.Series([1]), r"Received: pandas\.Series.*`to_frame\(\)`"),
        (np.zeros((3, 2)), r"numpy\.ndarray.*pandas\.DataFrame\(array, columns="),
        (pa.chunked_array([[1]]), r"Received: pyarrow\.lib\.ChunkedArray"),
        (iter([{"a": 1}, (2,)]), "item 1 is of type tuple"),
        ({"train": pl.DataFrame(), "test": pl.DataFrame()}, r"train, test.*data\['train'\]"),
        (pl.DataFrame({"a": [1]}).cast(pl.Int128), "polars.*a type that PyArrow cannot read"),
    ],
)
def test_what_is_no_table_is_named_with_the_mend(source, words):
    with pytest.raises(ValueError, match=words):
        load_table(source)


def test_nested_columns_matter_only_where_they_are_read(frame):
    assert check_table(frame[[0, 2]], texts=["text"], images=["image"]) == []
    problems = check_table(frame, texts=["record", "records"], images=["file"], labels="tags")
    assert [problem.row for problem in problems] == [None, None]
    for problem, name in zip(problems, ("record", "records"), strict=True):
        assert f"the column '{name}' holds records with the fields 'name'" in problem.message
        assert "unnest" in problem.message
    (problem,) = check_table(frame, texts=["text"], images=["record"])
    assert "'bytes' or 'path'" in problem.message


def test_splits_of_other_tables(frame):
    table = pl.DataFrame({"text": list("abcdefgh"), "label": [0, 1] * 4})
    expected = [part.index.tolist() for part in stratified_split(table.to_pandas(), "label",
                                                                 test_size=0.25)]  # fmt: skip
    labels = pa.chunked_array([[0, 1] * 4])
    for source, label in ((table, "label"), (table, table["label"]), (table.to_arrow(), labels)):
        parts = stratified_split(source, label, test_size=0.25)
        assert [part.index.tolist() for part in parts] == expected
        assert all(isinstance(part, pd.DataFrame) for part in parts)
    assert len(list(stratified_k_fold(table, "label", num_folds=2))) == 2


def test_columns_and_frames_of_other_libraries():
    frame = pl.DataFrame({"a": [1, 2]})
    assert is_table(frame) and not is_table(frame["a"]) and not is_table([{"a": 1}])
    assert not is_table(Image.new("RGB", (2, 2)))
    assert as_frame(frame)["a"].tolist() == [1, 2]
    assert as_frame("text") == "text"
    assert cells_of(pa.chunked_array([[1], [2]])) == [1, 2] == cells_of(frame["a"])


@pytest.fixture(scope="module")
def photos(datasets):
    features = datasets.Features(
        {
            "text": datasets.Value("string"),
            "photo": datasets.Image(),
            "label": datasets.ClassLabel(names=["no", "yes"]),
        }
    )
    cells = [{"bytes": png(), "path": None}, None, {"bytes": png()[:40], "path": "b.png"}]
    rows = {"text": ["a", "b", "c"], "photo": cells, "label": [1, 0, 1]}
    return datasets.Dataset.from_dict(rows, features=features)


def test_a_hugging_face_dataset_is_read_in_its_order_without_decoding(photos):
    for dataset in (photos, photos.with_format("numpy"), photos.to_iterable_dataset()):
        table = load_table(dataset)
        assert table["text"].tolist() == ["a", "b", "c"]
        assert table["label"].tolist() == [1, 0, 1]
        assert table["photo"][0]["bytes"] == png() and is_missing(table["photo"][1])
    assert load_table(photos.select([1, 0]))["text"].tolist() == ["b", "a"]

    def twice(rows):
        return {"text": [text * 2 for text in rows["text"]]}

    changed = photos.select([0, 1]).with_transform(twice)
    assert load_table(changed)["text"].tolist() == ["aa", "bb"]


def test_a_broken_image_of_a_hugging_face_dataset(photos):
    (problem,) = check_table(photos, images=["photo"], texts=["text"], labels="label")
    assert (problem.row, problem.column) == (2, "photo")
    assert "damaged or truncated PNG" in problem.message and "b.png" in problem.message


def test_the_splits_of_a_hugging_face_dataset_are_named(photos, datasets):
    splits = datasets.DatasetDict({"train": photos, "dev": photos})
    with pytest.raises(ValueError, match=r"datasets\.dataset_dict\.DatasetDict.*train, dev\. "):
        load_table(splits)


def test_tensorflow_datasets_of_dicts():
    from keras_mm.load_order import load_tensorflow

    tf = load_tensorflow()
    pixels = np.arange(2 * 5 * 7 * 3, dtype="uint8").reshape(2, 5, 7, 3)
    columns = {
        "text": ["BM\u00e9", "GIF89a"],
        "file": [png(), b""],
        "image": pixels,
        "tags": tf.ragged.constant([["red"], []], dtype=tf.string),
        "label": [1, 0],
    }
    dataset = tf.data.Dataset.from_tensor_slices(columns)
    table = load_table(dataset)
    assert table["text"].tolist() == ["BM\u00e9", "GIF89a"]
    assert table["file"].tolist() == [png(), ""]
    assert table["tags"].tolist() == [["red"], []]
    np.testing.assert_array_equal(table["image"][1], pixels[1])
    rows = read_rows(dataset, images=["image"], texts=["text"], labels="label", classes=[0, 1])
    assert rows.labels["label"].tolist() == [1, 0]
    images = tf.data.Dataset.from_tensor_slices({"image": pixels})
    assert len(load_table(images)) == 2
    for source, words in (
        (dataset.batch(2), r"tensorflow\..*Dataset of batches.*unbatch\(\)"),
        (images.batch(2), r"unbatch\(\)"),
        (dataset.repeat(), r"take\(num_rows\)"),
        (dataset.map(lambda row: (row["text"], row["label"])), "elements are of type tuple"),
    ):
        with pytest.raises(ValueError, match=words):
            load_table(source)
