"""Comparisons of settings on the same folds."""

import json

import numpy as np
import pandas as pd
import pytest

import keras_mm
from keras_mm.cli.main import main
from keras_mm.errors import ConfigError
from keras_mm.estimator.classifier import MultimodalClassifier
from keras_mm.metrics.classification import classification_metrics
from keras_mm.metrics.significance import corrected_t_test

# A comparison trains classifiers, which other tests check on each backend.
pytestmark = [pytest.mark.eager, pytest.mark.backend_free]

SETTINGS = {
    "texts": ["text_2"], "preset": "tiny", "text_trainable": False, "verbose": 0, "epochs": 2,
}  # fmt: skip
GRID = {"loss": ["cross_entropy", "focal"]}


@pytest.fixture(scope="module")
def table(sample):
    """Rows whose label follows from a word of the second text."""
    rows = sample[0][:120].reset_index(drop=True)
    return rows.assign(
        label=np.where(rows["text_2"].str.contains("up"), "up", "down"), owner=rows.index // 4
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("compare") / "run"


@pytest.fixture(scope="module")
def found(table, folder):
    return keras_mm.compare(table, GRID, folds=3, repeats=2, output=folder, **SETTINGS)


def test_its_scores_are_those_of_the_out_of_fold_predictions(found, table, folder):
    assert found.table["loss"].tolist() == ["majority", "cross_entropy", "focal"]
    line = found.table.iloc[1]
    scores = []
    for repeat in range(2):
        model = MultimodalClassifier(**SETTINGS, folds=3, seed=repeat).fit(table)
        frame = model.out_of_fold_
        predicted = frame[[f"probability_{name}" for name in model.classes_]].to_numpy()
        codes = np.searchsorted(model.classes_, frame["label"])
        scores.append(classification_metrics(codes, predicted, list(model.classes_)))
    for name in ("accuracy", "macro_f1", "log_loss"):
        assert line[name] == pytest.approx(np.mean([s[name] for s in scores]), abs=1e-6)
        assert line[f"{name}_low"] <= line[name] <= line[f"{name}_high"]
    share = (table["label"] == "up").mean()
    assert found.table["accuracy"][0] == pytest.approx(max(share, 1 - share))
    assert line["difference"] == 0 and np.isnan(line["p_value"])


def test_differences_are_tested_over_all_folds(found, table, folder):
    by_fold = {}
    for file in (folder / "cells").iterdir():
        frame = pd.read_parquet(file)
        right = (frame["label"] == frame["prediction"]).groupby(frame["fold"]).mean()
        by_fold[file.stem] = right.to_numpy()
    assert len(by_fold) == 4
    names = sorted(by_fold, key=lambda name: (name.rpartition("-")[0], name.rpartition("-")[2]))
    first, second = (np.concatenate([by_fold[n] for n in pair]) for pair in (names[:2], names[2:]))
    expected = corrected_t_test(second - first, 2 / 3, 1 / 3)
    line = found.table.iloc[2]
    assert abs(line["difference"]) == pytest.approx(abs(expected.value))
    assert line["p_value"] >= expected.p_value - 1e-12  # adjusted for two comparisons


@pytest.mark.slow
def test_a_comparison_that_was_stopped_goes_on_to_the_same_table(
    found, table, folder, tmp_path, monkeypatch
):
    trained, fit_rows = [], MultimodalClassifier.fit_rows

    def stopping(self, *args, **options):
        trained.append(self.loss)
        if len(trained) == 3:
            raise KeyboardInterrupt
        return fit_rows(self, *args, **options)

    monkeypatch.setattr(MultimodalClassifier, "fit_rows", stopping)
    with pytest.raises(KeyboardInterrupt):
        keras_mm.compare(table, GRID, folds=3, repeats=2, output=tmp_path / "run", **SETTINGS)
    again = keras_mm.compare(table, GRID, folds=3, repeats=2, output=tmp_path / "run", **SETTINGS)
    assert len(trained) == 5  # two cells, the one that was stopped again, and the last
    pd.testing.assert_frame_equal(
        again.table.drop(columns="seconds"), found.table.drop(columns="seconds")
    )


def test_other_rows_or_folds_in_the_same_folder_are_refused(found, table, folder):
    changed = table.assign(text_2=table["text_2"].str.upper())
    with pytest.raises(ConfigError, match="content of the rows"):
        keras_mm.compare(changed, GRID, folds=3, repeats=2, output=folder, **SETTINGS)
    with pytest.raises(ConfigError, match="folds: 3, now 4"):
        keras_mm.compare(table, GRID, folds=4, repeats=2, output=folder, **SETTINGS)
    (folder.parent / "other").mkdir()
    (folder.parent / "other" / "mine.txt").touch()
    with pytest.raises(ConfigError, match="not empty, and no comparison"):
        keras_mm.compare(table, GRID, folds=3, output=folder.parent / "other", **SETTINGS)


def test_cells_that_the_labels_do_not_allow_are_named_before_anything_is_trained(table, tmp_path):
    grid = {
        "class_weight": [None, {"nobody": 2}],
        "training.monitor": ["val_loss", "val_nothing"],
    }
    with pytest.raises(ConfigError) as caught:
        keras_mm.compare(table, grid, folds=2, output=tmp_path / "run", **SETTINGS)
    assert len(caught.value.problems) == 3 and "nobody" in caught.value.problems[1]
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("ending", ["md", "csv", "json", "html", "tex"])
def test_files(found, tmp_path, ending):
    found.save(tmp_path / f"table.{ending}")
    text = (tmp_path / f"table.{ending}").read_text()
    assert "focal" in text and f"{found.table['accuracy'][1]:.3f}"[1:] in text
    if ending == "json":
        assert [cell["loss"] for cell in json.loads(text)["cells"]] == found.table["loss"].tolist()
    with pytest.raises(ValueError, match="must end with"):
        found.save(tmp_path / "table.xlsx")


def test_groups_and_numbers(table):
    numbers = table.assign(label=table["text_2"].str.len() * 1.0)
    found = keras_mm.compare(
        numbers, {"epochs": [1]}, folds=2, groups="owner", head="regression", **{
            name: value for name, value in SETTINGS.items() if name != "epochs"
        },
    )  # fmt: skip
    assert found.main_score == "r2" and found.table["r2"][0] < 0.05
    assert "majority" not in found.summary or np.isfinite(found.table["r2"][1])


def test_the_command(table, tmp_path, capsys):
    table.to_csv(tmp_path / "rows.csv", index=False)
    (tmp_path / "grid.toml").write_text(
        'data = "rows.csv"\ntexts = ["text_2"]\npreset = "tiny"\ntext_trainable = false\n'
        "epochs = 1\nverbose = 0\nfolds = 2\n[grid]\n"
        'loss = ["cross_entropy", "focal"]\n'.replace("rows.csv", str(tmp_path / "rows.csv"))
    )
    arguments = ["compare", "--config", str(tmp_path / "grid.toml"), "--output"]
    assert main([*arguments, str(tmp_path / "run"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [cell["loss"] for cell in found["cells"]] == ["majority", "cross_entropy", "focal"]
    assert {f.suffix for f in (tmp_path / "run").glob("table.*")} == {
        ".md", ".csv", ".json", ".html", ".tex"
    }  # fmt: skip
    assert main([*arguments, str(tmp_path / "two"), "--set", "validation_data=x.csv"]) == 2
    assert "`validation_data` is not used" in capsys.readouterr().err
    assert main([*arguments, str(tmp_path / "two"), "--repeats", "0"]) == 2
    assert "repeats" in capsys.readouterr().err
    assert main(["compare", "--data", str(tmp_path / "rows.csv")]) == 2
    assert "a grid is needed" in capsys.readouterr().err
