"""What a user reads runs: docstring examples, README blocks, commands, tables, arguments."""

import ast
import contextlib
import doctest
import importlib
import inspect
import io
import pkgutil
import re
import shlex
from pathlib import Path

import pytest

import keras_mm
from keras_mm.cli.arguments import create_parser
from keras_mm.data.samples import load_sample_data, sample_ceilings
from keras_mm.presets.presets import list_presets
from keras_mm.settings.engines import engine_problem
from tests.conftest import missing

README = Path(__file__).resolve().parent.parent / "README.md"
TENSORFLOW_ONLY = ("keras_mm.export.saved_model", "keras_mm.export.check_saved_model")
NOT_RUN = "<!-- not run: needs a download -->"

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(keras_mm.__path__, "keras_mm.")
    if not module.name.endswith("__main__")
)


# --- docstrings ----------------------------------------------------------------------------------


def failures(module, flags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE):
    """What the examples of a module's docstrings print where they fail."""
    said = io.StringIO()
    runner = doctest.DocTestRunner(optionflags=flags)
    for test in doctest.DocTestFinder(exclude_empty=True).find(module):
        runner.run(test, out=said.write)
    return said.getvalue()


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples(name, tmp_path, monkeypatch):
    import keras

    if name in TENSORFLOW_ONLY and keras.backend.backend() != "tensorflow":
        pytest.skip("runs on tensorflow only")
    monkeypatch.chdir(tmp_path)
    assert failures(importlib.import_module(name)) == ""


def test_a_wrong_example_is_seen():
    module = type(doctest)("wrong")
    module.__doc__ = ">>> 1 + 1\n3\n"
    assert "Expected" in failures(module)


def described(documentation: str) -> set[str]:
    """The names that the Args section of a docstring describes."""
    sections = re.split(r"^(\w[\w ]*):[ \t]*$", inspect.cleandoc(documentation), flags=re.MULTILINE)
    arguments = dict(zip(sections[1::2], sections[2::2], strict=True)).get("Args", "")
    return set(re.findall(r"^    \**(\w+):", arguments, flags=re.MULTILINE))


# Errors are made by the package, never by its user.
@pytest.mark.parametrize("name", [name for name in keras_mm.__all__ if "Error" not in name])
def test_arguments_are_described(name):
    value = getattr(keras_mm, name)
    parameters = set(inspect.signature(value).parameters)
    text = described(value.__doc__)
    if "as `read_rows`" in value.__doc__:
        from keras_mm.data.tables.rows import read_rows

        text |= described(read_rows.__doc__)
    assert parameters - text == set(), f"{name}: not in the docstring's Args"


def test_described_reads_a_section():
    text = (
        "One line.\n\nArgs:\n    a: One.\n        more: of it.\n    *b: Two.\n\nReturns:\n    c: x"
    )
    assert described(text) == {"a", "b"}


# --- README --------------------------------------------------------------------------------------


def blocks(language: str) -> list[tuple[str, bool]]:
    """The README's blocks of a language, and whether each is to be run."""
    lines = README.read_text(encoding="utf-8").splitlines()
    found, start = [], None
    for number, line in enumerate(lines):
        if start is None and line.startswith("```"):
            start = number
        elif start is not None and line == "```":
            if lines[start] == f"```{language}":
                found.append(("\n".join(lines[start + 1 : number]), lines[start - 1] != NOT_RUN))
            start = None
    assert start is None, "a block of the README is not closed"
    return found


def commands() -> list[list[str]]:
    """The arguments of every `keras-mm` in the README's shell blocks."""
    text = "\n".join(block for block, _ in blocks("bash"))
    parts = re.split(r"&&|\n", text.replace("\\\n", " "))
    words = [shlex.split(part, comments=True) for part in parts]
    return [line[1:] for line in words if line[:1] == ["keras-mm"]]


def tables() -> list[list[list[str]]]:
    """The README's tables, as rows of cells, without the header."""
    found = re.findall(
        r"^\|.+\|\n\|[-:| ]+\|\n((?:\|.+\|\n)+)", README.read_text(encoding="utf-8"), re.MULTILINE
    )
    return [
        [[cell.strip() for cell in row.strip("|").split("|")] for row in table.splitlines()]
        for table in found
    ]


@pytest.mark.parametrize("block", [block for block, _ in blocks("python")])
def test_readme_python_is_python(block):
    ast.parse(block)


@pytest.mark.slow
def test_readme_python_runs(once, tmp_path, monkeypatch):
    """Each block as it is written, one after the other, on fewer rows."""
    train, test = load_sample_data()
    # The export's own processes must find the package from another folder as well.
    monkeypatch.setenv("PYTHONPATH", str(Path(keras_mm.__file__).resolve().parent.parent))
    monkeypatch.setattr(keras_mm, "load_sample_data", lambda: (train[:300], test[:60]))
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    run = [block for block, offline in blocks("python") if offline]
    assert len(run) >= 4, "the README shows little that runs"
    for block in run:
        with contextlib.redirect_stdout(io.StringIO()) as said:
            exec(compile(block, "README.md", "exec"), names)
        if "evaluate" in block:
            assert "majority class" in said.getvalue()
    assert names["answer"]["probabilities"].shape == (1, 3)


def test_readme_opens_with_the_two_commands():
    first = README.read_text(encoding="utf-8").split("```")[1]
    assert first.splitlines() == [
        "bash",
        "pip install . && keras-mm train",
        'pip install ".[test]" && python -m pytest',
    ]


def test_readme_commands_parse():
    found = commands()
    assert {line[0] for line in found} == {
        "train", "check", "evaluate", "predict", "export", "presets", "cache",
    }  # fmt: skip
    for line in found:
        options = create_parser().parse_args(line)
        assert options.command == line[0]


@pytest.mark.parametrize("line", [line for line in commands() if line[0] == "train"], ids=" ".join)
def test_readme_settings_are_known(line):
    from keras_mm.cli.run_settings import run_settings

    if "engine=openvino" in line and engine_problem("openvino"):
        missing("openvino is not installed")
    assert run_settings(create_parser().parse_args(line)).resolved()


def test_readme_options_are_there(capsys):
    """Every `--option` that the text mentions is one of the program's."""
    known = {"--ceilings"}  # of keras_mm.data.samples
    for command in ("train", "check", "evaluate", "predict", "export", "presets", "cache"):
        with contextlib.suppress(SystemExit):
            create_parser().parse_args([command, "--help"])
        known |= set(re.findall(r"--[a-z][a-z-]+", capsys.readouterr().out))
    for script in (README.parent / "benchmarks").glob("*.py"):
        known |= set(re.findall(r'"(--[a-z][a-z-]+)"', script.read_text(encoding="utf-8")))
    text = README.read_text(encoding="utf-8")
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)) <= known


def test_readme_presets_are_the_presets():
    (table,) = [table for table in tables() if table[0][0] == "`tiny`"]
    assert table == [
        [
            f"`{preset.name}`",
            preset.description,
            f"{preset.parameters / 1e6:.1f} M",
            preset.license,
            f"{preset.download_mb:.0f} MB" if preset.download_mb else "nothing",
        ]
        for preset in list_presets().values()
    ]


def test_readme_ceilings_are_computed():
    ceilings = sample_ceilings()
    (table,) = [table for table in tables() if table[0][0] == "images only"]
    parts = [name.removesuffix("_accuracy") for name in ceilings if name.endswith("_accuracy")]
    assert [row[1:] for row in table] == [
        [f"{ceilings[f'{part}_accuracy']:.2f}", f"{ceilings[f'{part}_macro_f1']:.3f}"]
        for part in parts
    ]


def test_readme_links_are_there():
    targets = re.findall(r"\]\(([^)#]+)\)", README.read_text(encoding="utf-8"))
    assert targets
    assert [path for path in targets if not (README.parent / path).exists()] == []
