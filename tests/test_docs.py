"""What a user reads in README and docs is true: code runs, commands parse, tables, links, names."""

import ast
import contextlib
import importlib
import inspect
import io
import re
import shlex
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest

import keras_mm
from keras_mm.cli.arguments import create_parser
from keras_mm.cli.run_settings import run_settings
from keras_mm.data.samples import load_sample_data, sample_ceilings
from keras_mm.presets.presets import list_presets
from keras_mm.settings.engines import engine_problem
from tests.conftest import missing, tensorflow_functions

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
PAGES = [README, ROOT / "data" / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
NOT_RUN = "<!-- not run: needs a download -->"
COMMANDS = {
    "train",
    "check",
    "compare",
    "search",
    "evaluate",
    "predict",
    "export",
    "presets",
    "cache",
}


class Block(NamedTuple):
    """A block of code on a page."""

    page: str
    language: str
    text: str
    runs: bool


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks_of(page: Path) -> list[Block]:
    """The fenced blocks of a page, and whether each is to be run."""
    lines = read(page).splitlines()
    found, start = [], None
    for number, line in enumerate(lines):
        if start is None and line.startswith("```"):
            start = number
        elif start is not None and line == "```":
            text = "\n".join(lines[start + 1 : number])
            name = str(page.relative_to(ROOT))
            found.append(Block(name, lines[start][3:], text, lines[start - 1] != NOT_RUN))
            start = None
    assert start is None, f"a block of {page} is not closed"
    return found


BLOCKS = [block for page in PAGES for block in blocks_of(page)]


def blocks(language: str) -> list[Block]:
    return [block for block in BLOCKS if block.language == language]


def test_blocks_have_a_language_that_is_checked():
    assert {block.language for block in BLOCKS} == {"bash", "python", "toml"}


# --- Python --------------------------------------------------------------------------------------

PYTHON = blocks("python")
RUN = [page for page in PAGES[1:] if any(b.runs for b in blocks_of(page) if b.language == "python")]


@pytest.fixture(scope="module")
def folder(once, tmp_path_factory):
    """Runs pages in a folder of their own, on a part of the sample data."""
    train, test = load_sample_data()
    with pytest.MonkeyPatch.context() as patch:
        # The export's own processes must find the package from another folder as well.
        patch.setenv("PYTHONPATH", str(Path(keras_mm.__file__).resolve().parent.parent))
        patch.setattr(keras_mm, "load_sample_data", lambda: (train[:160], test[:40]))
        patch.chdir(tmp_path_factory.mktemp("pages"))
        yield


def run_blocks(found: list[Block], names: dict) -> str:
    """Runs blocks as they are written, one after the other; what they print."""
    with contextlib.redirect_stdout(io.StringIO()) as said:
        for block in found:
            exec(compile(block.text, block.page, "exec"), names)
    return said.getvalue()


@pytest.fixture(scope="module")
def first_lines(folder) -> dict:
    """The names that the README's five lines leave: all other pages go on from these."""
    names: dict = {}
    found = [block for block in blocks_of(README) if block.language == "python"]
    assert [block.runs for block in found] == [True]
    assert "majority class" in run_blocks(found, names)
    return names


@pytest.mark.slow
@pytest.mark.parametrize("page", RUN, ids=lambda page: str(page.relative_to(ROOT)))
def test_python_runs(page, first_lines):
    names = dict(first_lines)
    found = [block for block in blocks_of(page) if block.language == "python" and block.runs]
    # Tracing a step takes longer than these short trainings. An export is a graph.
    with tensorflow_functions(eager=page.name != "export.md"):
        said = run_blocks(found, names)
    if any(re.search(r"^print\(.*(report|evaluate)", b.text, re.MULTILINE) for b in found):
        assert "majority class" in said
    if page.name == "export.md":
        assert names["answer"]["probabilities"].shape == (1, 3)


def test_enough_python_runs():
    assert len(RUN) >= 12


@pytest.mark.parametrize("block", [b for b in PYTHON if not b.runs], ids=lambda b: b.page)
def test_python_that_is_not_run_calls_what_there_is(block):
    """Calls of the package's names, and of its classes' methods, have keywords that these take."""
    known = {"keras_mm": keras_mm, "classifier": keras_mm.MultimodalClassifier}
    checked = 0
    for node in ast.walk(ast.parse(block.text)):
        if isinstance(node, ast.ImportFrom):
            module = importlib.import_module(node.module)
            known |= {alias.name: getattr(module, alias.name) for alias in node.names}
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            kind = called(node.value.func, known)
            if inspect.isclass(kind):
                known[node.targets[0].id] = kind
        elif isinstance(node, ast.Call) and (function := called(node.func, known)):
            keywords = {k.arg: None for k in node.keywords if k.arg}
            inspect.signature(function).bind_partial(**keywords)
            checked += 1
    assert checked


def called(node: ast.expr, known: dict):
    """What a name, or an attribute of a known name, is; raises where there is no such attribute."""
    if isinstance(node, ast.Name):
        return known.get(node.id)
    owner = called(node.value, known) if isinstance(node, ast.Attribute) else None
    return None if owner is None else getattr(owner, node.attr)


# --- commands and settings -----------------------------------------------------------------------


def commands() -> list[tuple[str, ...]]:
    """The arguments of every `keras-mm` in shell blocks, tables and sentences."""
    lines = [line for b in blocks("bash") for line in re.split(r"&&|\n", b.text)]
    for page in PAGES:
        lines += re.findall(r"`(keras-mm [^`\n]+)`", read(page))
    words = [shlex.split(line.replace("$W", ""), comments=True) for line in lines]
    found = [tuple(line[1:]) for line in words if line[:1] == ["keras-mm"]]
    left_out = {"...", "COMMAND", "--help"}
    return sorted({line for line in found if not left_out & set(line)})


def test_readme_opens_with_the_two_commands():
    first = blocks_of(README)[0]
    assert (first.language, first.text.splitlines()) == (
        "bash",
        ["pip install . && keras-mm train", 'pip install ".[test]" && python -m pytest'],
    )


def test_commands_parse():
    found = commands()
    assert {line[0] for line in found} == COMMANDS
    for line in found:
        # A sentence may name `keras-mm check` alone; what a block gives is whole.
        if len(line) > 1:
            assert create_parser().parse_args(line).command == line[0]


@pytest.mark.parametrize("line", [line for line in commands() if line[0] == "train"], ids=" ".join)
def test_settings_are_known(line, tmp_path, monkeypatch):
    if "engine=openvino" in line and engine_problem("openvino"):
        missing("openvino is not installed")
    monkeypatch.chdir(ROOT)
    for block in blocks("toml"):
        if "--config" in line and block.text.startswith(f"# {line[line.index('--config') + 1]}"):
            monkeypatch.chdir(tmp_path)
            Path(line[line.index("--config") + 1]).write_text(block.text)
    assert run_settings(create_parser().parse_args(line)).resolved()


@pytest.mark.parametrize("block", blocks("toml"), ids=lambda block: block.page)
def test_toml_is_of_settings(block, tmp_path):
    file = tmp_path / "settings.toml"
    file.write_text(block.text)
    line = ["train", "--data", "train.csv", "--config", str(file)]
    own = {"grid", "repeats"} if "[grid" in block.text else set()  # of `keras-mm compare`
    settings = run_settings(create_parser().parse_args(line), without=tuple(own)).resolved()
    assert set(tomllib.loads(block.text)) <= set(vars(settings)) | {"heads"} | own


def test_options_are_there(capsys):
    """Every `--option` that a page mentions is one of the program's, or of a script here."""
    known = {"--ceilings", "--help", "--strict"}  # of keras_mm.data.samples, of all, of mkdocs
    for command in COMMANDS:
        with contextlib.suppress(SystemExit):
            create_parser().parse_args([command, "--help"])
        known |= set(re.findall(r"--[a-z][a-z-]+", capsys.readouterr().out))
    for script in (ROOT / "benchmarks").glob("*.py"):
        known |= set(re.findall(r'"(--[a-z][a-z-]+)"', read(script)))
    for page in PAGES:
        mentioned = set(re.findall(r"(?<![\w!-])--[a-z][a-z-]+", read(page)))
        assert mentioned <= known, page


# --- tables, names, links ------------------------------------------------------------------------


def tables(page: Path) -> list[list[list[str]]]:
    """The tables of a page, as rows of cells, without the header."""
    found = re.findall(r"^\|.+\|\n\|[-:| ]+\|\n((?:\|.+\|\n)+)", read(page), re.MULTILINE)
    return [
        [[cell.strip() for cell in row.strip("|").split("|")] for row in table.splitlines()]
        for table in found
    ]


def test_readme_is_short():
    assert len(README.read_bytes()) <= 10_000


def test_readme_presets_are_the_presets():
    (table,) = [table for table in tables(README) if table[0][0] == "`tiny`"]
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


def test_readme_results_are_among_the_results():
    (headlines,) = [table for table in tables(README) if "keras-mm train" in table[0][-1]]
    results = [row for table in tables(ROOT / "docs" / "results.md") for row in table]
    assert len(headlines) == 5
    assert [row for row in headlines if row not in results] == []


def test_ceilings_are_computed():
    ceilings = sample_ceilings()
    page = ROOT / "docs" / "guides" / "evaluate.md"
    (table,) = [table for table in tables(page) if table[0][0] == "images only"]
    parts = [name.removesuffix("_accuracy") for name in ceilings if name.endswith("_accuracy")]
    assert [row[1:] for row in table] == [
        [f"{ceilings[f'{part}_accuracy']:.2f}", f"{ceilings[f'{part}_macro_f1']:.3f}"]
        for part in parts
    ]


def test_every_public_name_has_its_reference():
    pages = "\n".join(read(page) for page in (ROOT / "docs" / "reference").glob("*.md"))
    listed = set(re.findall(r"^::: keras_mm\.(\w+)$", pages, re.MULTILINE))
    listed |= {name for name in keras_mm.__all__ if "Error" in name}  # all of `keras_mm.errors`
    assert set(keras_mm.__all__) - listed == set()


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as MkDocs and code forges make them."""
    headings = re.findall(r"^#+ (.+)$", read(page), re.MULTILINE)
    return {
        re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings
    }


@pytest.mark.parametrize(
    "page", [*PAGES, ROOT / "CONTRIBUTING.md"], ids=lambda page: str(page.relative_to(ROOT))
)
def test_links_are_there(page):
    for target, anchor in re.findall(r"\]\(([^)#:\s]*)(?:#([^)]*))?\)", read(page)):
        file = page.parent / target if target else page
        assert file.is_file(), target
        assert not anchor or anchor in anchors(file), f"{target}#{anchor}"
