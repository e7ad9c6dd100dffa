"""Bars on a terminal and in a notebook, plain lines elsewhere."""

import io
import os
import sys
import time
from pathlib import Path

import pytest
from tqdm import tqdm

import keras_mm
from keras_mm import progress
from keras_mm.progress import LineBar, announced, loading_output, progress_bar, progress_line

pytestmark = pytest.mark.backend_free


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_has_a_bar(monkeypatch):
    monkeypatch.setattr(progress, "DELAY", 0.0)
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert list(progress_bar(range(3), description="counting", unit="step")) == [0, 1, 2]
    assert "\rcounting: 100%" in sys.stderr.getvalue()


def test_a_file_has_plain_lines(monkeypatch, capsys):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    bar = progress_bar(description="counting", unit="row", total=1400)
    assert isinstance(bar, LineBar)
    with bar:
        now[0] += 29
        bar.update(3)
        assert capsys.readouterr().err == ""
        now[0] += 1
        bar.update(697)
        assert capsys.readouterr().err == "counting: 50%, 700 of 1,400 rows, 30 s\n"
        now[0] += 29
        bar.update(700)
    bar.close()
    assert capsys.readouterr().err == "counting: 100%, 1,400 of 1,400 rows, 59 s\n"
    for leave, duration in ((False, 9), (True, 1)):
        with progress_bar(description="counting", unit="row", leave=leave) as bar:
            now[0] += duration
            bar.update(1)
        assert bar.n == 1 and capsys.readouterr().err == ""


def test_a_bar_of_unknown_length_counts(monkeypatch, capsys):
    monkeypatch.setattr(progress, "DELAY", 0.0)
    steps = progress_bar((x for x in "a"), description="counting", unit="row")
    assert list(steps) == ["a"] and steps.n == 1
    assert capsys.readouterr().err == "counting: 1 row, 0.0 s\n"


def test_a_line_goes_to_the_log_file_too(capsys, caplog):
    with caplog.at_level("INFO", logger="keras_mm"):
        progress_line("shown")
        progress_line("hidden", show=False)
    assert capsys.readouterr().err == "shown\n"
    assert caplog.record_tuples == [
        ("keras_mm.file", 20, "shown"),
        ("keras_mm.file", 20, "hidden"),
    ]


def test_slow_work_is_announced(monkeypatch, capsys):
    with announced("quick"):
        pass
    monkeypatch.setattr(progress, "DELAY", 0.01)
    with announced("slow"), announced("silent", show=False):
        time.sleep(0.1)
    assert capsys.readouterr().err == "slow\n"


def test_a_download_shows_no_bars_in_a_file(monkeypatch, capsys, tmp_path):
    keras = pytest.importorskip("keras")

    (tmp_path / "source").write_bytes(b"a file")

    def load(name):
        for _ in tqdm(range(3), desc="weights"):
            pass
        print("a real error", file=sys.stderr)
        address = (tmp_path / "source").as_uri()
        keras.utils.get_file(name, address, cache_dir=str(tmp_path), cache_subdir="")

    for show in (True, False):
        with progress.keras_output(show=show), loading_output("the weights"):
            load(f"shown {show}")
        assert capsys.readouterr() == ("", "a real error\n")
    monkeypatch.setattr(sys, "stderr", Terminal())
    with loading_output("the weights"):
        load("on a terminal")
    assert "weights: 100%" in sys.stderr.getvalue()
    assert "Downloading data" in capsys.readouterr().out


def test_a_notebook_has_its_own_bar(monkeypatch):
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    root = str(Path(keras_mm.__file__).resolve().parent.parent)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([root, os.environ.get("PYTHONPATH", "")]))
    code = (
        "from keras_mm import progress\n"
        "progress.DELAY = 0\n"
        "bar = progress.progress_bar(range(3), description='counting', unit='step')\n"
        "print(list(bar), type(bar).__module__, progress.shows_bars())"
    )
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    nbclient.NotebookClient(book, timeout=120, kernel_name="python3").execute()
    outputs = book.cells[0].outputs
    said = "".join(one["text"] for one in outputs if one.get("name") == "stdout")
    assert "[0, 1, 2] tqdm." in said and said.rstrip().endswith("True")
    shown = "".join(str(one.get("text") or one.get("data")) for one in outputs)
    assert "counting" in shown
