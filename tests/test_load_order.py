"""Keras' PyTorch backend is loaded before TensorFlow, whatever is used first."""

import ast
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

import keras_mm
from tests.conftest import ROOT, LoadOrder, missing

pytestmark = pytest.mark.backend_free

PACKAGE = Path(keras_mm.__file__).parent
FILES = sorted(
    path
    for folder in (PACKAGE, ROOT / "tests", ROOT / "benchmarks")
    for path in folder.rglob("*.py")
)
# The one function that loads TensorFlow, and a script that keeps Keras to TensorFlow by itself.
LOADERS = {"load_order.py", "export/check_saved_model.py"}


def imports_of(tree: ast.AST) -> list[tuple[str, int]]:
    """What a module imports, by its first name, with the line."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name.split(".")[0], node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.append((node.module.split(".")[0], node.lineno))
    return found


def too_early(source: str) -> list[int]:
    """Lines of an `import tensorflow` without an `import keras` before it, at the module's top."""
    tree = ast.parse(source)
    top = ast.Module([node for node in tree.body if isinstance(node, ast.Import)], [])
    keras = [line for name, line in imports_of(top) if name == "keras"]
    found = [line for name, line in imports_of(tree) if name == "tensorflow"]
    return [line for line in found if not keras or line < min(keras)]


def test_no_file_loads_tensorflow_before_keras():
    assert len(FILES) > 200
    found = {path: too_early(path.read_text(encoding="utf-8")) for path in FILES}
    places = [f"{path}:{line}" for path, lines in found.items() for line in lines]
    places = [place for place in places if not any(f"/{name}:" in place for name in LOADERS)]
    assert places == [], "take TensorFlow from keras_mm.load_order"


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("import tensorflow as tf", [1]),
        ("import keras\nimport tensorflow as tf", []),
        ("from tensorflow import io\nimport keras", [1]),
        ("def f():\n    import keras\ndef g():\n    import tensorflow.io", [4]),
        ("import keras\ndef g():\n    import tensorflow", []),
    ],
)
def test_an_early_import_is_found(source, lines):
    assert too_early(source) == lines


def run(code: str, **environment: str) -> subprocess.CompletedProcess:
    """A Python process that runs some code, Keras' backend being PyTorch."""
    given = {"KERAS_BACKEND": "torch", "PYTHONPATH": str(PACKAGE.parent), **environment}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **given}
    )


@pytest.mark.slow
def test_tensorflow_first_used_by_a_graph_is_loaded_after_the_backend():
    if importlib.util.find_spec("torch") is None:
        missing("torch is not installed")
    done = run(
        "import tests.conftest  # its guard stops what would crash\n"
        "from keras_mm.data.images.tf_graph.headers import file_bytes\n"
        "assert file_bytes(b'a').shape == 17\n"
        "import keras, sys\n"
        "assert keras.backend.backend() == 'torch' and 'tensorflow' in sys.modules\n"
    )
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("name", ["keras.src.backend.torch", "torch._dynamo", "triton"])
def test_the_guard_of_these_tests_sees_a_wrong_order(name, monkeypatch):
    monkeypatch.delitem(sys.modules, "triton", raising=False)
    monkeypatch.setitem(sys.modules, "tensorflow", sys)
    with pytest.raises(AssertionError, match=f"{name} is loaded after TensorFlow"):
        LoadOrder().find_spec(name, None)
    monkeypatch.delitem(sys.modules, "tensorflow")
    assert LoadOrder().find_spec(name, None) is None
