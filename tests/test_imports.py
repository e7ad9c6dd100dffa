"""The import graph: arrows run one way, and light modules load no backend."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import keras_mm

PACKAGE = Path(keras_mm.__file__).parent

# Each room and the rooms it may import from.
LEAVES = {
    "zoo", "presets", "augmentation", "fine_tuning", "heads", "pretrained", "config", "child",
    "engines", "load_order", "sliding",
}  # fmt: skip
MIDDLE = {"data", "models", "losses", "metrics"}
WORK = {"features", "training"}
ALLOWED = {
    "__init__": set(),
    "zoo": set(),
    "presets": {"zoo"},
    "augmentation": {"presets"},
    "heads": set(),
    "pretrained": set(),
    "child": set(),
    "engines": set(),
    "load_order": set(),
    "fine_tuning": {"presets"},
    "sliding": {"presets"},
    "config": {"presets", "augmentation", "fine_tuning", "engines", "heads", "sliding"},
    "data": {"zoo", "presets", "pretrained", "heads", "sliding", "load_order"},
    "models": {"zoo", "presets", "pretrained", "heads", "augmentation"},
    "losses": {"presets"},
    "metrics": {"presets", "heads"},
    "features": {"__init__", "presets", "child", "engines"} | MIDDLE,
    "training": {"presets", "fine_tuning", "heads"} | MIDDLE,
    "bundle": {"__init__", "presets", "heads"} | MIDDLE | WORK,
    "workbench": {"bundle", "features", "models"},
    "columns": {"config", "data", "heads", "sliding"},
    "answers": {"data", "metrics", "heads"},
    "fitting": {"workbench", "columns", "answers"} | LEAVES | MIDDLE | WORK,
    "classifier": {"bundle", "workbench", "columns", "answers", "fitting"} | LEAVES | MIDDLE | WORK,
    "evidence": {"__init__", "bundle", "classifier", "columns", "answers"} | LEAVES | MIDDLE | WORK,
    "serving": {"__init__", "bundle", "classifier", "answers"} | LEAVES | MIDDLE | WORK,
    "run": {"bundle", "columns", "classifier", "evidence", "serving"} | LEAVES | MIDDLE | WORK,
    "simple_transformers": {"bundle", "classifier", "answers"} | LEAVES | MIDDLE | WORK,
    "cli": {"__init__", "run", "bundle", "classifier", "evidence", "serving", "features"} | LEAVES,
}
# Convenience methods of the estimator that call upward, inside a function.
UPWARD = {("classifier", "evidence"), ("classifier", "serving")}


def room_of(path: Path) -> str:
    """The folder of a module, or its own name at the top."""
    relative = path.relative_to(PACKAGE)
    return relative.parts[0].removesuffix(".py")


def imported_rooms(tree: ast.AST) -> set[tuple[str, bool]]:
    """Rooms of the package that a module imports, and whether inside a function."""
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
    }
    found = set()
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
            if node.module == "keras_mm":
                names = [f"keras_mm.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "keras_mm":
                found.add((parts[1] if len(parts) > 1 else "__init__", id(node) in inside))
    return found


def type_checking_only(tree: ast.Module) -> ast.Module:
    """The module without its `if TYPE_CHECKING:` blocks."""
    body = [
        node
        for node in tree.body
        if not (isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING")
    ]
    return ast.Module(body=body, type_ignores=[])


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE))
)
def test_imports_run_one_way(path):
    room = room_of(path)
    tree = type_checking_only(ast.parse(path.read_text(encoding="utf-8")))
    for target, inside in imported_rooms(tree):
        if target == room or (inside and (room, target) in UPWARD):
            continue
        assert target in ALLOWED[room], f"{room} must not import {target}"


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


BACKENDS = ("keras", "tensorflow", "jax", "torch", "keras_hub")
HEAVY = (*BACKENDS, "numpy", "pandas", "sklearn")


@pytest.mark.parametrize(
    "code",
    [
        "import keras_mm",
        "import keras_mm; keras_mm.list_presets(); keras_mm.Training; keras_mm.Augmentation",
        "import keras_mm.cli, contextlib, io\n"
        "with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):\n"
        "    keras_mm.cli.main(['train', '--help'])",
    ],
)
def test_light_modules_load_no_backend(code):
    assert run(f"{code}\nimport sys\nprint([m for m in {HEAVY} if m in sys.modules])") == "[]"


@pytest.mark.parametrize(
    "module",
    [
        "data.tables",
        "data.rows",
        "data.splits",
        "data.samples",
        "data.images",
        "metrics.classification",
        "features.store",
    ],
)
def test_tables_and_metrics_need_no_backend(module):
    code = f"import keras_mm.{module}, sys\nprint([m for m in {BACKENDS} if m in sys.modules])"
    assert run(code) == "[]"


def test_public_names_are_there():
    for name in keras_mm.__all__:
        assert getattr(keras_mm, name).__doc__, name


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="nothing_here"):
        _ = keras_mm.nothing_here
