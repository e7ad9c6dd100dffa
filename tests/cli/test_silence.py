"""`verbose=0` and `--quiet` show nothing, however long a step takes; otherwise there are bars."""

import re
from pathlib import Path

import numpy as np
import pytest

import keras_mm
from keras_mm import Head, progress
from keras_mm.data.dataset import MultimodalDataset
from keras_mm.progress import keras_output, progress_bar, progress_line

pytestmark = [
    pytest.mark.backend_free,
    pytest.mark.eager,
    pytest.mark.usefixtures("bars_at_once"),
]


@pytest.fixture
def bars_at_once(monkeypatch):
    """Bars appear for what takes no time, too."""
    monkeypatch.setattr(progress, "DELAY", 0.0)


@pytest.fixture(scope="module")
def rows(sample):
    """Training and test rows; a head's column of numbers."""
    return tuple(
        part.assign(size=np.arange(len(part)) * 0.5) for part in (sample[0][:32], sample[1][:9])
    )


def use(model, rows):
    """Everything that a fitted classifier can be asked for, by name: what it does."""
    train, test = rows
    numbers = Head("regression", column="size")
    return {
        "predict": lambda: model.predict(test),
        "predict_proba": lambda: model.predict_proba(test),
        "predict_frame": lambda: model.predict_frame(test),
        "score": lambda: model.score(test),
        "evaluate": lambda: model.evaluate(test),
        "fit_head": lambda: model.add_head("size", numbers).fit_head("size", train),
    }


def test_a_classifier_is_silent_and_shows_bars_as_verbose_says(rows, capsys):
    model = keras_mm.MultimodalClassifier(
        images=["image_1"], preset="tiny", vision_trainable=False, epochs=1, verbose=0
    )
    model.fit(rows[0], validation_data=rows[1])
    assert capsys.readouterr() == ("", "")
    for name, run in use(model, rows).items():
        run()
        assert capsys.readouterr() == ("", ""), name
    model.set_params(verbose=1)
    for name, run in use(model, rows).items():
        if name != "fit_head":  # it is there now
            run()
            captured = capsys.readouterr()
            assert captured.out == "" and "checking image_1: 100%" in captured.err, name
            assert "encoding images: 100%" in captured.err and "\r" not in captured.err, name
            assert ("predicting" in captured.err) == name.startswith("predict"), name
    model.fit_head("size", rows[0])
    assert "epoch 1/1" in capsys.readouterr().err


def test_tables_are_checked_in_silence_where_asked_for(rows, capsys):
    columns = {"images": ["image_1"], "texts": ["text_1"]}
    preprocessor = keras_mm.Preprocessor(
        image_size=(8, 8), num_images=1, tokenizer="tiny_bert", sequence_length=8, num_texts=1
    )
    for show in (False, True):
        keras_mm.check_table(rows[1], **columns, progress=show)
        found = capsys.readouterr()
        assert found.out == "" and ("checking image_1" in found.err) == show
        MultimodalDataset(rows[1], preprocessor, **columns, progress=show)
        found = capsys.readouterr()
        assert found.out == "" and ("checking image_1" in found.err) == show


def test_what_keras_prints_is_hidden_and_its_setting_kept(capsys, tmp_path):
    keras = pytest.importorskip("keras")
    (tmp_path / "source").write_bytes(b"a file")

    def download(name):
        address = (tmp_path / "source").as_uri()
        keras.utils.get_file(name, address, cache_dir=str(tmp_path), cache_subdir="")

    with keras_output(show=False):
        download("hidden")
    assert capsys.readouterr() == ("", "")
    with pytest.raises(ZeroDivisionError), keras_output(show=False):
        _ = 1 / 0
    assert keras.config.is_interactive_logging_enabled()
    with keras_output(show=True):
        download("shown")
    assert "Downloading" in capsys.readouterr().out


def test_a_bar_gives_the_steps_whether_it_is_shown_or_not(capsys):
    for show in (False, True):
        bar = progress_bar(range(3), description="counting", unit="step", show=show)
        assert list(bar) == [0, 1, 2]
        assert ("counting" in capsys.readouterr().err) == show
    progress_line("a line")
    assert capsys.readouterr() == ("", "a line\n")


def test_a_bar_waits_for_work_that_takes_long(capsys, monkeypatch):
    monkeypatch.setattr(progress, "DELAY", 2.0)
    assert list(progress_bar(range(3), description="counting", unit="step")) == [0, 1, 2]
    assert capsys.readouterr().err == ""


def test_no_other_file_writes_to_the_terminal():
    """The command line's own results and errors excepted; `samples` has a command of its own."""
    writes = re.compile(r"\btqdm\b|^ *print\(|sys\.std(out|err)\b", re.MULTILINE)
    package = Path(keras_mm.__file__).parent
    found = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if writes.search(path.read_text(encoding="utf-8"))
    }
    command_line = {f"cli/{name}.py" for name in ("commands", "main", "output", "run_log")}
    others = {"backend_logs.py", "data/samples/__main__.py", "progress.py"}
    assert found == {*command_line, *others}
