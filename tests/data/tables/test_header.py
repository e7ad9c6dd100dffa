"""The columns of a table file, without its rows."""

import pandas as pd
import pytest

from keras_mm.data.tables.header import (
    check_names,
    read_column,
    read_names,
)
from keras_mm.data.tables.load import load_table
from keras_mm.errors import TableError

pytestmark = pytest.mark.backend_free

TABLE = pd.DataFrame({"id": ["007", "08"], "text": ["NA", "b"], "label": ["x", "y"]})


@pytest.fixture(params=["csv", "tsv", "parquet", "jsonl"])
def file(request, tmp_path):
    path = tmp_path / f"rows.{request.param}"
    if request.param == "parquet":
        TABLE.to_parquet(path)
    elif request.param == "jsonl":
        TABLE.to_json(path, orient="records", lines=True)
    else:
        TABLE.to_csv(path, index=False, sep="\t" if request.param == "tsv" else ",")
    return str(path)


def test_columns_are_those_of_the_table(file):
    assert read_names(file) == list(load_table(file).columns) == list(TABLE)
    pd.testing.assert_series_equal(read_column(file, "id"), load_table(file)["id"])
    check_names(file, ["text", "label"])
    with pytest.raises(TableError) as error:
        check_names(file, ["text", "lable", "image"])
    for words in (file, "no column 'lable'. Did you mean 'label'?", "no column 'image'"):
        assert words in str(error.value)


def test_rows_are_not_read(tmp_path):
    (tmp_path / "rows.csv").write_text("text,label\na,x\n" + "b,y\n" * 9 + "one,cell,too many\n")
    assert read_names(str(tmp_path / "rows.csv")) == ["text", "label"]
    (tmp_path / "empty.csv").write_text("text,label\n")
    check_names(str(tmp_path / "empty.csv"), ["text"])


def test_the_index_of_a_parquet_file_is_no_column(tmp_path):
    TABLE.set_axis(["p", "q"]).to_parquet(tmp_path / "rows.parquet")
    assert read_names(str(tmp_path / "rows.parquet")) == list(TABLE)
    assert list(read_column(str(tmp_path / "rows.parquet"), "id").index) == ["p", "q"]


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(FileNotFoundError, match="No such table"):
        read_names(str(tmp_path / "none.parquet"))
    (tmp_path / "bad.parquet").write_bytes(b"no parquet")
    with pytest.raises(ValueError, match="Cannot read"):
        read_names(str(tmp_path / "bad.parquet"))
