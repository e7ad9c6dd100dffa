"""The command line, in this process; what it prints, what it leaves, what it answers."""

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pandas as pd
import pytest

import keras_mm
from keras_mm import progress
from keras_mm.cli import main as cli
from keras_mm.cli.arguments import create_parser
from keras_mm.cli.run_settings import run_settings
from keras_mm.settings.augmentation import Augmentation
from keras_mm.settings.problems import TABLES
from keras_mm.settings.settings import ConfigError, RunSettings
from keras_mm.settings.toml import read_toml, to_toml


def run(capsys, *arguments):
    """Exit status, stdout and stderr of one command."""
    status = cli.main([str(a) for a in arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@pytest.fixture(scope="module")
def files(sample, tmp_path_factory):
    """Small training and test tables as files."""
    folder = tmp_path_factory.mktemp("files")
    # 64 rows of these are trained, in whole batches: JAX compiles each size of batch.
    sample[0][:72].to_parquet(folder / "train.parquet")
    test = sample[1][:30].assign(ID=[f"pair {i}" for i in range(30)])
    test.to_parquet(folder / "test.parquet")
    return folder


@pytest.fixture(scope="module")
def trained(files, tmp_path_factory):
    """A run folder."""
    output = tmp_path_factory.mktemp("runs") / "run"
    arguments = [
        "train", "--data", files / "train.parquet", "--test-data", files / "test.parquet",
        "--preset", "tiny", "--epochs", "1", "--output", output, "--quiet",
        "--set", "training.patience=3",
    ]  # fmt: skip
    stderr = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(stderr):
        patch.setattr(progress, "DELAY", 0.0)  # bars appear at once
        assert cli.main([str(a) for a in arguments]) == 0
    assert stderr.getvalue() == ""
    return output


def test_the_run_folder(trained):
    assert sorted(p.name for p in trained.iterdir()) == [
        "README.md",
        "config.toml",
        "history.csv",
        "metrics.json",
        "model",
        "predictions.csv",
        "report.html",
        "train.log",
    ]
    metrics = json.loads((trained / "metrics.json").read_text())
    assert 0 <= metrics["test"]["accuracy"] <= 1 and "macro_f1" in metrics["test"]
    assert list(metrics["baselines"]) == [
        "majority", "lexical", "linear_probe", "image_probe", "text_probe",
    ]  # fmt: skip
    assert all(0 < scores["accuracy"] <= 1 for scores in metrics["baselines"].values())
    assert metrics["verdict"] in (trained / "train.log").read_text()
    assert list(metrics["differences"]) == list(metrics["baselines"])
    predictions = pd.read_csv(trained / "predictions.csv")
    assert list(predictions.columns[:4]) == ["row", "ID", "label", "prediction"]
    assert predictions["ID"].tolist() == [f"pair {i}" for i in range(30)]
    report = (trained / "report.html").read_text()
    assert "(pair " in report and "data:image/jpeg;base64," in report
    assert list(pd.read_csv(trained / "history.csv")["epoch"]) == [1]
    log = (trained / "train.log").read_text()
    assert "train: 64 rows" in log and "epoch 1" in log and "test: accuracy" in log
    assert list(trained.parent.iterdir()) == [trained]


def test_the_resolved_config_trains_the_same_again(trained, capsys):
    config = read_toml(trained / "config.toml")
    assert config["images"] == ["image_1", "image_2"] and config["training"]["patience"] == 3
    status, out, _ = run(
        capsys, "train", "--config", trained / "config.toml", "--output", trained.parent / "x",
        "--dry-run", "--json",
    )  # fmt: skip
    assert status == 0 and json.loads(out)["rows"] == {"train": 64, "val": 8, "test": 30}
    assert not (trained.parent / "x").exists()


def test_evaluate_and_predict(trained, files, capsys, tmp_path):
    status, out, _ = run(
        capsys, "evaluate", "--model", trained, "--data", files / "test.parquet", "--json",
        "--output", tmp_path / "report.html", "--by", "label",
    )  # fmt: skip
    metrics = json.loads((trained / "metrics.json").read_text())
    assert status == 0
    assert "macro_f1_interval" in metrics["test"] and "slices" not in metrics
    slices = json.loads(out)["slices"]["label"]
    assert sum(scores["num_rows"] for scores in slices.values()) == 30
    assert json.loads(out)["test"]["accuracy"] == metrics["test"]["accuracy"]
    assert metrics["test"]["averages"]["macro avg"]["f1"] == metrics["test"]["macro_f1"]
    _, out, _ = run(capsys, "evaluate", "--model", trained, "--data", files / "test.parquet")
    assert out.splitlines()[-2].split()[:2] == ["weighted", "avg"]
    assert out.splitlines()[-1].startswith("Accuracy ")
    report = (tmp_path / "report.html").read_text()
    assert "(pair " in report and "data:image/jpeg;base64," in report and "By “label”" in report
    evaluate = ("evaluate", "--model", trained, "--data", files / "test.parquet")
    status, _, err = run(capsys, *evaluate, "--by", "labl")
    assert status == 2 and "no column 'labl'. Did you mean 'label'?" in err
    status, out, _ = run(
        capsys, "predict", "--model", trained / "model", "--data", files / "test.parquet", "--json",
        "--output", tmp_path / "new" / "both.csv",
    )  # fmt: skip
    assert len(pd.read_csv(tmp_path / "new" / "both.csv")) == 30
    rows = json.loads(out)
    assert status == 0 and len(rows) == 30
    written = pd.read_csv(trained / "predictions.csv")
    assert [row["prediction"] for row in rows] == written["prediction"].tolist()
    assert [(row["row"], row["ID"]) for row in rows] == [(i, f"pair {i}") for i in range(30)]
    status, _, _ = run(
        capsys, "predict", "--model", trained, "--data", files / "test.parquet",
        "--output", tmp_path / "out.csv", "--id-column", "label",
    )  # fmt: skip
    found = pd.read_csv(tmp_path / "out.csv")
    assert status == 0 and list(found.columns[:3]) == ["row", "label", "prediction"]
    assert found["label"].tolist() == pd.read_parquet(files / "test.parquet")["label"].tolist()


@pytest.mark.backend_free
@pytest.mark.eager
def test_a_run_with_folds_keeps_its_out_of_fold_predictions(sample, capsys, tmp_path):
    table = sample[0][:40].assign(label=["a", "b"] * 20, number=range(100, 140))
    table.to_parquet(tmp_path / "rows.parquet")
    arguments = [
        "train", "--data", tmp_path / "rows.parquet", "--preset", "tiny", "--epochs", "1",
        "--texts", "text_1", "--set", "text_trainable=false", "--folds", "2", "--id-column",
        "number", "--baselines", "none", "--set", "test_size=0.2", "--output", tmp_path / "run",
    ]  # fmt: skip
    assert run(capsys, *arguments)[0] == 0
    found = pd.read_parquet(tmp_path / "run" / "out_of_fold.parquet")
    assert list(found.columns[:2]) == ["number", "fold"] and len(found) == 32
    assert (found["number"] == found.index + 100).all()
    assert found["probability_a"].between(0, 1).all()


@pytest.fixture(scope="module")
def bad(files):
    """The test table with two rows that cannot be used."""
    table = pd.read_parquet(files / "test.parquet")[:7].astype(object)
    for row in (1, 4):
        table.at[row, "image_1"] = {"bytes": None, "path": "nowhere.png"}
    table.to_parquet(files / "bad.parquet")
    return files / "bad.parquet"


@pytest.mark.backend_free
def test_predictions_of_a_table_with_bad_rows(trained, bad, capsys, tmp_path):
    command = ["predict", "--model", trained, "--data", bad, "--quiet"]
    status, out, err = run(capsys, *command)
    assert (status, out) == (2, "") and "--on-error skip" in err
    out_csv = ("--output", tmp_path / "out.csv")
    status, out, err = run(capsys, *command, "--on-error", "skip", "--json", *out_csv)
    assert status == 0
    (line,) = err.splitlines()
    assert line.startswith("keras-mm predict: warning: 2 of 7 rows have no prediction: ")
    assert "row 1, column 'image_1'" in line and "nowhere.png" in line
    found, written = json.loads(out), pd.read_csv(tmp_path / "out.csv")
    for row in range(7):
        is_bad = row in (1, 4)
        assert (found[row]["prediction"] is None) == is_bad == pd.isna(written["prediction"][row])
        assert (found[row]["error"] is not None) == is_bad == pd.notna(written["error"][row])
        assert found[row]["row"] == written["row"][row] == row
    with pytest.raises(SystemExit) as stopped:
        run(capsys, *command, "--on-error", "drop")
    assert stopped.value.code == 2
    with pytest.raises(SystemExit):
        run(capsys, "predict", "--help")
    assert "the exit status is 0" in " ".join(capsys.readouterr().out.split())


def test_baselines_of_a_run_are_trained_on_its_own_rows(trained, files, capsys, tmp_path):
    command = ["evaluate", "--model", trained, "--data", files / "test.parquet", "--json"]
    status, out, err = run(capsys, *command, "--baselines", "lexical,linear")
    stored = json.loads((trained / "metrics.json").read_text())["baselines"]
    found = json.loads(out)["baselines"]
    assert status == 0 and list(found) == ["majority", "lexical", "linear_probe"]
    assert found["lexical"] == stored["lexical"] and "no baseline" not in err
    assert list(json.loads(run(capsys, *command)[1])["baselines"]) == ["majority"]
    status, _, err = run(capsys, *command, "--baselines", "lexicl")
    assert status == 2 and "'lexicl'" in err


@pytest.mark.parametrize("change", ["gone", "other rows", "no run"])
def test_training_rows_that_are_not_here_are_no_error(trained, files, capsys, tmp_path, change):
    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    config = folder / "config.toml"
    if change == "no run":
        config.unlink()
    else:
        data = tmp_path / "train.parquet"
        if change == "other rows":
            pd.read_parquet(files / "train.parquet")[8:].to_parquet(data)
        text = config.read_text().replace(str(files / "train.parquet"), str(data))
        config.write_text(text)
    command = ["evaluate", "--model", folder, "--data", files / "test.parquet", "--json"]
    status, out, err = run(capsys, *command, "--baselines", "auto")
    (line,) = [line for line in err.splitlines() if "no baseline is trained" in line]
    words = {"gone": "train.parquet", "other rows": "has changed", "no run": "no config.toml"}
    assert status == 0 and words[change] in line
    assert list(json.loads(out)["baselines"]) == ["majority"]


@pytest.mark.backend_free
def test_an_evaluation_of_a_table_with_bad_rows(trained, bad, capsys, tmp_path):
    command = ["evaluate", "--model", trained, "--data", bad, "--quiet", "--on-error", "skip"]
    report = tmp_path / "report.html"
    status, out, err = run(capsys, *command, "--output", report)
    assert status == 0 and out.splitlines()[-2] == "2 of 7 rows left out"
    assert len(err.splitlines()) == 1 and "warning: 2 of 7 rows left out: " in err
    assert "2 of 7 rows left out" in report.read_text()
    found = json.loads(run(capsys, *command, "--json")[1])
    assert found["skipped"]["rows"] == 2 and found["skipped"]["of"] == 7
    assert {problem["row"] for problem in found["skipped"]["problems"]} == {1, 4}
    table = pd.read_parquet(bad)
    table.iloc[[1, 4]].to_parquet(tmp_path / "only.parquet")
    command[4] = tmp_path / "only.parquet"
    status, out, err = run(capsys, *command)
    assert (status, out) == (2, "") and "so no row is left" in err


@pytest.mark.backend_free
@pytest.mark.slow
def test_quiet_commands_write_nothing_to_stderr(trained, files, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "DELAY", 0.0)
    rows, model = ("--data", files / "test.parquet"), ("--model", trained)
    commands = {
        ("check", *rows): "checking image_1",
        ("train", "--data", files / "train.parquet", "--dry-run"): "checking image_1",
        ("evaluate", *model, *rows): "encoding images",
        ("predict", *model, *rows): "predicting",
        ("predict", *model, *rows, "--output", tmp_path / "out.csv"): "30 predictions in",
        ("presets",): "",
        ("cache", "info"): "",
    }
    for command, words in commands.items():
        status, _, err = run(capsys, *command, "--quiet")
        assert (status, err) == (0, ""), command
        assert words in run(capsys, *command)[2], command
    silent = ("train", "--data", files / "train.parquet", "--set", "verbose=0", "--dry-run")
    assert run(capsys, *silent)[2] == ""


def test_help_lists_every_setting(capsys):
    with pytest.raises(SystemExit):
        cli.main(["train", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    plain = {f.name for f in fields(RunSettings)} - TABLES.keys()
    for name in plain:
        assert f"--{name.replace('_', '-')} " in text or f" {name}: " in text, name
    for table, kind in TABLES.items():
        for one in fields(kind):
            assert f"{table}.{one.name}: {one.metadata['description']}" in text
    assert "--epochs EPOCHS Largest number of epochs. An integer >= 1." in text


def test_a_knob_reaches_the_trainer(capsys, tmp_path):
    """Declared once, it is there for the command line, TOML, and what trains."""
    from keras_mm.estimator.options import stopping

    (tmp_path / "run.toml").write_text("[training]\nmin_epochs = 3\n")
    for arguments in (["--set", "training.min_epochs=3"], ["--config", str(tmp_path / "run.toml")]):
        settings = run_settings(create_parser().parse_args(["train", *arguments]))
        assert settings.training == keras_mm.Training(min_epochs=3)
        assert stopping(settings.resolved()).min_epochs == 3
        assert "min_epochs = 3" in to_toml(settings)


@pytest.mark.backend_free
def test_check_lists_every_problem(capsys, tmp_path):
    (tmp_path / "empty.png").touch()
    pd.DataFrame(
        {
            "image": ["no.png", "empty.png", None],
            "text": ["a", "b", None],
            "label": ["x", None, "y"],
        }
    ).to_csv(tmp_path / "bad.csv", index=False)
    status, out, _ = run(capsys, "check", "--data", tmp_path / "bad.csv")
    assert status == 2 and len(out.strip().splitlines()) == 4
    for words in (
        "row 0, column 'image'",
        "row 1, column 'image'",
        "row 1, column 'label'",
        "row 2",
    ):
        assert words in out
    status, out, _ = run(capsys, "check", "--data", tmp_path / "bad.csv", "--json")
    assert status == 2 and len(json.loads(out)["problems"]) == 4


@pytest.mark.backend_free
def test_presets(capsys):
    status, out, _ = run(capsys, "presets")
    assert status == 0 and "resnet50v2_bert_base" in out and "Apache-2.0" in out
    names = [row["name"] for row in json.loads(run(capsys, "presets", "--json")[1])]
    assert "tiny" in names and "mobilenet_v2_minilm" in names


@pytest.mark.backend_free
def test_splits_by_column(files, capsys, tmp_path, sample):
    table = sample[0][:40].assign(split=["train"] * 20 + ["validation"] * 8 + ["test"] * 12)
    table.to_parquet(tmp_path / "rows.parquet")
    arguments = ["train", "--data", tmp_path / "rows.parquet", "--preset", "tiny", "--dry-run"]
    status, out, err = run(capsys, *arguments, "--split-column", "split", "--json")
    assert "names splits" not in err
    assert status == 0 and json.loads(out)["rows"] == {"train": 20, "val": 8, "test": 12}
    test_data = ("--test-data", tmp_path / "rows.parquet")
    status, _, err = run(capsys, *arguments, "--split-column", "split", *test_data)
    assert status == 2 and "`split_column` already assigns rows" in err
    status, _, err = run(capsys, *arguments, "--split-column", "spilt")
    assert status == 2 and "Did you mean 'split'" in err
    status, _, err = run(capsys, *arguments, "--id-column", "slit")
    assert status == 2 and "no column 'slit'. Did you mean 'split'" in err
    sample[0][:400].assign(split=["train", "test"] * 200).to_parquet(tmp_path / "rows.parquet")
    status, _, err = run(capsys, *arguments)
    assert status == 0 and "the column 'split' names splits: --split-column split uses" in err


def test_three_mistakes_in_a_toml_are_told_at_once(capsys, tmp_path):
    (tmp_path / "bad.toml").write_text('presett = "tiny"\nepochs = 0\nloss = "focall"\n')
    status, out, err = run(capsys, "train", "--config", tmp_path / "bad.toml")
    assert status == 2 and out == ""
    assert "3 problems" in err
    for words in ("'preset'", "`epochs` must be an integer >= 1", "`loss` must be one of"):
        assert words in err


@pytest.mark.backend_free
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--data", "nowhere.csv"], "No such table"),
        (["train", "--preset", "tinny"], "Did you mean 'tiny'"),
        (["train", "--config", "nowhere.toml"], "nowhere.toml"),
        (["train", "--set", "epochs"], "NAME=VALUE"),
        (["train", "--set", "training=3", "--set", "training.gamma=1"], "not a table"),
        (["train", "--set", "training.gamma.x=1"], "`training.gamma` must be a number >= 0"),
        (["train", "--set", "training.loss=focal"], "set `loss` itself"),
        (["train", "--set", "heads.size.kind=regresion"], "the head 'size': `kind` must be one"),
        (["train", "--set", "heads.size.kint=binary"], "Unknown setting 'kint'. Did you mean"),
        (["train", "--backend", "theano"], "`--backend` must be one of jax, tensorflow, torch"),
        (["predict", "--model", "nowhere", "--data", "x.csv"], "No saved model"),
        (["check"], "`data` must name the table"),
    ],
)
def test_wrong_requests(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, out, err = run(capsys, *arguments)
    assert status == 2 and message in err and out == ""
    assert list(tmp_path.iterdir()) == []


def test_an_output_that_is_not_empty(files, capsys, tmp_path):
    (tmp_path / "mine").write_text("mine")
    status, _, err = run(capsys, "train", "--output", tmp_path)
    assert status == 2 and "not empty" in err and (tmp_path / "mine").read_text() == "mine"


def test_a_missing_backend_names_its_extra(capsys, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'keras_mm\[torch\]'"):
        cli.choose_backend("torch")
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    status, _, err = run(capsys, "presets")
    assert status == 2 and "`KERAS_BACKEND`: 'jax' is not installed: pip install jax" in err
    monkeypatch.setenv("KERAS_BACKEND", "theano")
    status, _, err = run(capsys, "presets")
    assert status == 2 and "the environment variable `KERAS_BACKEND` must be one of" in err


@pytest.mark.backend_free
def test_nothing_is_left_when_a_run_fails(files, capsys, tmp_path):
    table = pd.read_parquet(files / "train.parquet")
    table.loc[table.index[0], "text_1"] = None
    table["image_1"] = "no.png"
    table.to_parquet(tmp_path / "bad.parquet")
    status, _, err = run(
        capsys, "train", "--data", tmp_path / "bad.parquet", "--preset", "tiny",
        "--output", tmp_path / "run",
    )  # fmt: skip
    assert status == 2 and "no.png" in err
    assert [p.name for p in tmp_path.iterdir()] == ["bad.parquet"]


@pytest.mark.backend_free
@pytest.mark.eager
def test_an_interrupted_run_leaves_its_model(files, capsys, tmp_path, monkeypatch):
    from keras_mm.training.callbacks import DivergenceCheck

    def interrupt(self, epoch, logs=None):
        if epoch == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(DivergenceCheck, "on_epoch_begin", interrupt)
    status, _, err = run(
        capsys, "train", "--data", files / "train.parquet", "--preset", "tiny",
        "--epochs", "3", "--output", tmp_path / "run",
    )  # fmt: skip
    assert status == 1 and "interrupted" in err
    assert [p.name for p in tmp_path.iterdir()] == ["run-interrupted"]
    model = keras_mm.MultimodalClassifier.load(tmp_path / "run-interrupted" / "model")
    assert len(model.history_["loss"]) == 1
    assert len(pd.read_csv(tmp_path / "run-interrupted" / "history.csv")) == 1


@pytest.mark.backend_free
def test_an_unexpected_error_leaves_its_traceback(files, capsys, tmp_path, monkeypatch):
    from keras_mm.cli import train as runs

    def fail(*_):
        raise ValueError("not of the package")

    monkeypatch.setattr(runs, "_train", fail)
    command = ["train", "--data", files / "train.parquet", "--preset", "tiny"]
    status, out, err = run(capsys, *command, "--output", tmp_path / "run")
    assert status == 1 and out == ""
    assert "ValueError: not of the package" in err and "Traceback" not in err
    assert err.endswith(f"the traceback is in {tmp_path / 'run-failed.log'}\n")
    assert [p.name for p in tmp_path.iterdir()] == ["run-failed.log"]
    log = (tmp_path / "run-failed.log").read_text()
    assert "Traceback" in log and log.rstrip().endswith("ValueError: not of the package")
    monkeypatch.setenv("KERAS_MM_DEBUG", "1")
    for name, expected in (("run", 1), (".", 2)):
        status, _, err = run(capsys, *command, "--output", tmp_path / name)
        assert status == expected and "Traceback" in err


@pytest.mark.backend_free
def test_the_traceback_of_other_commands_is_kept_too(capsys, monkeypatch, tmp_path):
    def fail(options):
        raise ValueError("not of the package")

    monkeypatch.setitem(cli.COMMANDS, "presets", fail)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    status, out, err = run(capsys, "presets")
    (log,) = tmp_path.iterdir()
    assert (status, out) == (1, "") and log.name.startswith("keras-mm-presets-")
    assert err == (f"keras-mm presets: ValueError: not of the package\nthe traceback is in {log}\n")
    text = log.read_text()
    assert "Traceback" in text and text.endswith("ValueError: not of the package\n")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "full"))  # nothing can be written
    assert run(capsys, "presets")[2].endswith("KERAS_MM_DEBUG=1 shows where it was raised\n")


@pytest.mark.backend_free
def test_a_reader_that_has_enough_and_a_full_disk(tmp_path):
    command = [sys.executable, "-m", "keras_mm.cli", "presets"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()  # as a reader does that has read enough
        assert process.stderr.read() == b""
    assert process.returncode == 1
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "TMPDIR": str(tmp_path)},
        )  # fmt: skip
    assert done.returncode == 1
    first, second = done.stderr.splitlines()
    assert first == "keras-mm presets: OSError: [Errno 28] No space left on device"
    assert second.startswith(f"the traceback is in {tmp_path}")


@pytest.mark.slow
def test_a_run_into_a_file_is_short_and_plain(once, tmp_path):
    """No bars, no lines of other libraries, and what is said is of use."""
    rows = "".join(f"words {i},{'ab'[i % 2]}\n" for i in range(60))
    (tmp_path / "rows.csv").write_text("text_1,label\n" + rows)
    command = [sys.executable, "-m", "keras_mm.cli", "train", "--data", "rows.csv"]
    command += ["--preset", "tiny", "--epochs", "2", "--output", "run"]
    kept = {n: v for n, v in os.environ.items() if n not in ("TF_CPP_MIN_LOG_LEVEL",)}
    root = str(Path(keras_mm.__file__).resolve().parent.parent)
    with open(tmp_path / "out.txt", "wb") as file:
        subprocess.run(
            command, stdout=file, stderr=subprocess.STDOUT, cwd=tmp_path, check=True,
            env={**kept, "KERAS_BACKEND": "tensorflow", "PYTHONPATH": root},
        )  # fmt: skip
    said = (tmp_path / "out.txt").read_bytes()
    assert b"\r" not in said
    lines = said.decode().splitlines()
    beginnings = (
        "keras 3", "train: 48 rows", "epoch 1/2", "epoch 2/2", "the weights of epoch 1", "written",
        "test accuracy", "Baseline  ", "majority  ", "lexical  ", "linear_probe  ", "Accuracy ",
        "report: ",
    )  # fmt: skip
    assert len(lines) <= 15
    assert [line for line in lines if not line.startswith(beginnings)] == []


@pytest.mark.backend_free
def test_all_that_is_wrong_with_the_rows_is_told_before_any_work(files, capsys, tmp_path):
    table = pd.read_parquet(files / "train.parquet")
    table["label"] = table["label"].astype(object)
    table.loc[table.index[2], "label"] = None
    table.loc[table.index[5], ["text_1", "text_2", "image_1", "image_2"]] = None
    table.to_parquet(tmp_path / "bad.parquet")
    other = pd.read_parquet(files / "test.parquet").assign(label="maybe")[:1]
    other.to_parquet(tmp_path / "other.parquet")
    for extra in ([], ["--dry-run"]):
        status, out, err = run(
            capsys, "train", "--data", tmp_path / "bad.parquet", "--preset", "tiny",
            "--test-data", tmp_path / "other.parquet", "--output", tmp_path / "run", *extra,
        )  # fmt: skip
        assert status == 2 and out == "" and not (tmp_path / "run").exists()
        for words in (
            "3 problems",
            "bad.parquet, row 2, column 'label'",
            "bad.parquet, row 5: the row is empty",
            "other.parquet, row 0, column 'label': unknown label 'maybe'",
        ):
            assert words in err


def test_images_for_a_preset_without_an_image_encoder(files, capsys):
    status, _, err = run(
        capsys, "train", "--data", files / "train.parquet", "--preset", "minilm_text",
        "--images", "image_1",
    )  # fmt: skip
    assert status == 2 and "has no encoder for `images`" in err


@pytest.mark.backend_free
def test_flags_win_over_set_and_config(tmp_path):
    (tmp_path / "c.toml").write_text(
        'preset = "tiny"\nepochs = 2\nseed = 4\n[training]\ngamma = 1\n'
    )
    parser = create_parser()
    options = parser.parse_args(
        ["train", "--config", str(tmp_path / "c.toml"), "--set", "epochs=3", "--epochs", "5",
         "--set", "training.clipnorm=0.5", "--set", "augmentation.flip=true",
         "--set", "augmentation.crop=0.2", "--texts", "a, b"]
    )  # fmt: skip
    settings = run_settings(options)
    assert settings.epochs == 5 and settings.seed == 4 and list(settings.texts) == ["a", "b"]
    assert (settings.training.gamma, settings.training.clipnorm) == (1, 0.5)
    assert settings.augmentation == Augmentation(flip=True, crop=0.2)


@pytest.mark.backend_free
def test_a_fusion_by_flag_and_its_arguments_by_set(tmp_path):
    (tmp_path / "c.toml").write_text('[fusion]\nname = "bilinear"\nrank = 3\n')
    parse = create_parser().parse_args
    flags = ["train", "--fusion", "cross_attention"]
    options = parse([*flags, "--set", "fusion.num_heads=2"])
    assert run_settings(options).fusion == {"name": "cross_attention", "num_heads": 2}
    options = parse([*flags, "--config", str(tmp_path / "c.toml")])
    assert run_settings(options).fusion == "cross_attention"
