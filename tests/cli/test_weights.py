"""`--weight-column` of train, check and evaluate."""

import json

import pandas as pd
import pytest

from keras_mm.cli import main as cli
from keras_mm.settings.toml import read_toml

pytestmark = [pytest.mark.eager, pytest.mark.backend_free]


def run(capsys, *arguments):
    """Exit status, stdout and stderr of one command."""
    status = cli.main([str(a) for a in arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@pytest.fixture(scope="module")
def rows(sample, tmp_path_factory):
    """A table with a column of weights."""
    path = tmp_path_factory.mktemp("rows") / "rows.csv"
    table = sample[0][["text_1", "text_2", "label"]][:120].reset_index(drop=True)
    table.assign(importance=[i % 4 / 2 for i in range(120)]).to_csv(path, index=False)
    return path


def test_a_weighted_run(rows, capsys, tmp_path):
    output = tmp_path / "run"
    status, out, err = run(
        capsys, "train", "--data", rows, "--weight-column", "importance", "--preset", "tiny",
        "--epochs", 1, "--set", "text_trainable=false", "--output", output, "--json",
    )  # fmt: skip
    assert status == 0, err
    assert read_toml(output / "config.toml")["weight_column"] == "importance"
    log = (output / "train.log").read_text()
    for part, count in (("train", 72), ("val", 9), ("test", 9)):
        assert f"{part}: {count} rows of {rows}" in log
    assert "; weighted by 'importance'\n" in log
    metrics = json.loads((output / "metrics.json").read_text())["test"]
    assert metrics["effective_rows"] < metrics["num_rows"] == 9
    assert json.loads(out)["test"] == metrics
    assert "Weight column: `importance`" in (output / "README.md").read_text()
    assert "sample_weight" in pd.read_csv(output / "predictions.csv")

    evaluate = ("evaluate", "--model", output, "--json", "--data")
    _, out, err = run(capsys, *evaluate, rows)
    found = json.loads(out)["test"]
    assert found["num_rows"] == 90 and found["effective_rows"] < 90
    assert "rows are weighted by the column 'importance', as in the run" in err
    _, out, _ = run(capsys, *evaluate, rows, "--weight-column", "")
    assert "effective_rows" not in json.loads(out)["test"]
    _, out, _ = run(capsys, *evaluate, rows, "--weight-column", "importance", "--quiet")
    assert json.loads(out)["test"] == found
    pd.read_csv(rows).drop(columns="importance").to_csv(tmp_path / "plain.csv", index=False)
    _, out, err = run(capsys, *evaluate, tmp_path / "plain.csv")
    assert "the table lacks the run's weight column 'importance'; each row has the weight 1" in err
    assert json.loads(out)["test"]["num_rows"] == 120


def test_check_lists_bad_weights(rows, capsys, tmp_path):
    table = pd.read_csv(rows, dtype=str).head(8)
    table.loc[2, "importance"], table.loc[5, "importance"] = "", "-1"
    table.to_csv(tmp_path / "bad.csv", index=False)
    status, out, _ = run(
        capsys, "check", "--data", tmp_path / "bad.csv", "--weight-column", "importance"
    )
    assert status == 2
    assert "row 2, column 'importance': the weight is missing" in out
    assert "row 5, column 'importance': a weight must be a finite number >= 0" in out


def test_a_weight_column_that_is_not_there(rows, capsys, tmp_path):
    status, _, err = run(
        capsys, "train", "--data", rows, "--weight-column", "importanse", "--preset", "tiny",
        "--output", tmp_path / "run",
    )  # fmt: skip
    assert status == 2 and "no column 'importanse'. Did you mean 'importance'" in err
    assert not (tmp_path / "run").exists()
