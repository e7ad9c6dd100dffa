"""Which column holds the ids, and predictions with ids."""

import pandas as pd
import pytest

from keras_mm.data.tables.ids import find_id_column, with_ids
from keras_mm.errors import ConfigError

pytestmark = pytest.mark.backend_free


def test_the_id_column():
    assert find_id_column(["text", "id_1"]) is None
    assert find_id_column(["text", "Id", "id"]) == "Id"
    assert find_id_column(["id", "text"], used=["id"]) is None
    assert find_id_column(["id", "key"], "key") == "key"
    with pytest.raises(ConfigError, match="`id_column`: no column 'kye'. Did you mean 'key'"):
        find_id_column(["id", "key"], "kye")


def test_ids_follow_their_rows():
    ids = pd.Series(["a", "b", "c"], index=[10, 11, 12], name="key")
    frame = pd.DataFrame({"row": [12, 10], "prediction": ["y", "n"]}, index=[12, 10])
    found, name = with_ids(frame, ids)
    assert name == "key" and list(found.columns) == ["row", "key", "prediction"]
    assert found["key"].tolist() == ["c", "a"] and list(frame.columns) == ["row", "prediction"]


def test_an_index_with_repeated_values_goes_by_position():
    ids = pd.Series(["a", "b"], index=[7, 7], name="id")
    found, _ = with_ids(pd.DataFrame({"prediction": ["y", "n"]}, index=[7, 7]), ids, place=0)
    assert found.to_dict("list") == {"id": ["a", "b"], "prediction": ["y", "n"]}


def test_a_name_that_is_taken():
    ids = pd.Series(["a"], name="label")
    assert with_ids(pd.DataFrame({"row": [0], "label": ["x"]}), ids)[1] == "id"
