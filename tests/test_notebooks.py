"""The notebooks run as they are, in fresh kernels, and were committed with their outputs."""

import os
import re
from pathlib import Path

import pytest

nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")

import keras_mm  # noqa: E402

FOLDER = Path(__file__).resolve().parent.parent / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
MAX_BYTES = 400_000
ABSOLUTE = re.compile(r"(?<![\w.:/<])/(?:home|tmp|root|work|usr|var|opt|private|Users)/")


def execute(name: str, folder: Path, monkeypatch):
    """The notebook after a run of all its cells from a copy in `folder`."""
    root = str(Path(keras_mm.__file__).resolve().parent.parent)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([root, os.environ.get("PYTHONPATH", "")]))
    book = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    for cell in book.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    client = nbclient.NotebookClient(
        book, timeout=900, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    )
    client.execute()  # raises where a cell does
    return book


def outputs(book) -> str:
    """All that a notebook's cells printed or gave, as text."""
    found = []
    for cell in book.cells:
        for output in cell.get("outputs", []):
            found.append(output.get("text") or output.get("data", {}).get("text/plain", ""))
    return "\n".join(found)


def check_quickstart(text: str) -> None:
    accuracy, majority = map(
        float, re.search(r"accuracy ([\d.]+) \[.*?\(majority class ([\d.]+)\)", text).groups()
    )
    macro_f1 = float(re.search(r"macro-F1 ([\d.]+)", text).group(1))
    assert accuracy > majority + 0.1
    assert macro_f1 > 0.6
    assert "3000 training rows, 600 test rows" in text
    assert "report.html:" in text
    difference = re.search(r"probability after loading: (\S+)", text).group(1)
    assert float(difference) <= 1e-6


def check_backends(text: str, names) -> None:
    assert "the backends' answers agree within 1e-5: True" in text
    for name in names:
        seconds = r"\s+\d+\.\d" * 3
        (difference,) = re.findall(rf"^{name}{seconds}\s+(\S+)\s*$", text, re.MULTILINE)
        assert float(difference) <= 1e-5
    assert "is not installed" not in text


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_committed_with_outputs(path):
    assert path.stat().st_size < MAX_BYTES
    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert book.metadata.kernelspec.name == "python3"
    for cell in code:
        assert cell.metadata == {}, "no timings, no tags"
        for output in cell.outputs:
            assert output.output_type != "error"
            assert output.get("name") != "stderr"
    assert not ABSOLUTE.search(outputs(book))


def test_committed_quickstart_tells_its_result():
    book = nbformat.read(FOLDER / "01_quickstart.ipynb", as_version=4)
    check_quickstart(outputs(book))
    pictures = [
        cell.id
        for cell in book.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    assert pictures == ["rows", "curves", "confusion", "plot"]


def test_committed_backends_agree():
    book = nbformat.read(FOLDER / "05_backends.ipynb", as_version=4)
    check_backends(outputs(book), ("jax", "tensorflow", "torch"))


@pytest.mark.slow
def test_quickstart_runs(once, tmp_path, monkeypatch):
    check_quickstart(outputs(execute("01_quickstart", tmp_path, monkeypatch)))
    assert list(tmp_path.iterdir()) == [], "a notebook leaves nothing where it lies"


@pytest.mark.slow
def test_backends_run(backends, tmp_path, monkeypatch):
    check_backends(outputs(execute("05_backends", tmp_path, monkeypatch)), backends)
