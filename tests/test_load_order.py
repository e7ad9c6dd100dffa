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

PACKAGE = Path(keras_mm.__file__).parent
FILES = sorted(
    path
    for folder in (PACKAGE, ROOT / "tests", ROOT / "benchmarks")
    for path in folder.rglob("*.py")
)
# The one function that loads TensorFlow, and a script that keeps Keras to TensorFlow by itself.
LOADERS = {"load_order.py", "serving/check_saved_model.py"}


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


def test_tensorflow_first_used_by_a_graph_is_loaded_after_the_backend():
    if importlib.util.find_spec("torch") is None:
        missing("torch is not installed")
    done = run(
        "import tests.conftest  # its guard stops what would crash\n"
        "from keras_mm.data.image_graph_headers import file_bytes\n"
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


# For TensorFlow, once it is loaded, any module stands.
TENSORFLOW = "import sys; sys.modules['tensorflow'] = sys; "


@pytest.fixture
def triton(tmp_path):
    """A folder of libraries with an empty package `triton`, and a home folder."""
    (tmp_path / "triton").mkdir()
    (tmp_path / "triton" / "__init__.py").touch()
    (tmp_path / ".keras").mkdir()
    return {
        "PYTHONPATH": os.pathsep.join([str(PACKAGE.parent), str(tmp_path)]), "HOME": str(tmp_path)
    }  # fmt: skip


@pytest.mark.parametrize(
    "code",
    [
        TENSORFLOW + "import keras_mm",
        TENSORFLOW + "from keras_mm.simple_transformers import ClassificationModel",
        "import keras_mm; " + TENSORFLOW + "keras_mm.Head",
        "import keras_mm; " + TENSORFLOW + "keras_mm.load_order.load_tensorflow()",
    ],
)
def test_a_script_that_imports_tensorflow_first_is_told(triton, code):
    done = run(code, **triton)
    assert done.returncode == 1
    assert "Put `import keras` before `import tensorflow`" in done.stderr


@pytest.mark.parametrize(
    ("setting", "is_told"),
    [('{"backend": "torch"}', True), ('{"backend": "jax"}', False), ("", False)],
)
def test_the_backend_of_keras_json_counts(triton, setting, is_told):
    Path(triton["HOME"], ".keras", "keras.json").write_text(setting)
    done = run(TENSORFLOW + "import keras_mm", **triton, KERAS_BACKEND="")
    assert ("Put `import keras`" in done.stderr) == is_told, done.stderr
    assert done.returncode == is_told


def test_without_triton_any_order_works(triton):
    (Path(triton["HOME"]) / "triton" / "__init__.py").unlink()
    (Path(triton["HOME"]) / "triton").rmdir()
    if importlib.util.find_spec("triton") is not None:
        pytest.skip("this is PyTorch's CUDA build")
    done = run(TENSORFLOW + "import keras_mm", **triton)
    assert done.returncode == 0, done.stderr
