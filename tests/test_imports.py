"""Light modules load no backend, and Keras finds the classes; `lint-imports` has the contracts."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import keras_mm

pytestmark = pytest.mark.backend_free

PACKAGE = Path(keras_mm.__file__).parent


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
        "import keras_mm.cli.main, contextlib, io\n"
        "with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):\n"
        "    keras_mm.cli.main.main(['train', '--help'])",
    ],
)
def test_light_modules_load_no_backend(code):
    assert run(f"{code}\nimport sys\nprint([m for m in {HEAVY} if m in sys.modules])") == "[]"


@pytest.mark.parametrize(
    "module",
    [
        "data.tables.load",
        "data.tables.rows",
        "data.tables.splits",
        "data.samples",
        "data.images.cells",
        "metrics.classification",
        "features.store.store",
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


def test_every_registered_class_is_listed():
    """What the source registers is what Keras is told of at import."""
    from keras_mm.registration import CLASSES

    found = set()
    for path in PACKAGE.rglob("*.py"):
        module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [ast.unparse(made) for made in getattr(node, "decorator_list", ())]
            if any("register_keras_serializable" in name for name in names):
                found.add((module, node.name))
    listed = {(module, name) for module, names in CLASSES.items() for name in names}
    assert {pair for pair in found ^ listed if "Rated" not in pair[1]} == set()


@pytest.mark.slow
@pytest.mark.parametrize("first", ["keras", "keras_mm"])
def test_keras_finds_the_classes_in_either_order(first):
    """Each by its stand-in, then by itself; nothing is loaded that is not asked for."""
    second = {"keras": "keras_mm", "keras_mm": "keras"}[first]
    code = (
        f"import sys, {first}, {second}\n"
        "from keras_mm.registration import CLASSES\n"
        "assert 'keras_mm.models' not in sys.modules\n"
        "names = ['keras_mm>' + name for names in CLASSES.values() for name in names]\n"
        "found = [keras.saving.get_registered_object(name) for name in names]\n"
        "assert all(hasattr(one, 'from_config') for one in found)\n"
        "config = {'module': 'keras_mm.models.fusion.concat', 'class_name': 'Concat',\n"
        "          'config': {'name': 'mine'}, 'registered_name': 'keras_mm>Concat'}\n"
        "layer = keras.saving.deserialize_keras_object(config)\n"
        "import importlib\n"
        "for module, names in CLASSES.items():\n"
        "    importlib.import_module('keras_mm.' + module)\n"
        "    for name in names:\n"
        "        found = keras.saving.get_registered_object('keras_mm>' + name)\n"
        "        assert hasattr(found, 'get_config') and found.__name__ == name, name\n"
        "print(layer.name, 'keras_mm.models.fusion.concat' in sys.modules,\n"
        "      any(type(finder).__name__ == '_AfterKeras' for finder in sys.meta_path))"
    )
    assert run(code) == "mine True False"
