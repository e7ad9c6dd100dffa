"""The package's own errors."""

import ast
import pickle
from pathlib import Path

import pytest

import keras_mm
from keras_mm import errors
from keras_mm.errors import ConfigError, KerasMMError, Problem, TableError

pytestmark = pytest.mark.backend_free

# What users meet by these is no mistake of theirs that a message could mend.
OWN = {"AttributeError", "IndexError", "NotImplementedError", "NotFittedError"}
INNER = {"_DataEnds", "FloatingPointError", "OSError"}


def raised(file: Path) -> set[str]:
    """Names of the exceptions that a file raises by a call."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {
        node.exc.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Raise)
        and isinstance(node.exc, ast.Call)
        and isinstance(node.exc.func, ast.Name)
    }


def test_what_the_package_raises_is_its_own():
    found = {}
    for file in Path(keras_mm.__file__).parent.rglob("*.py"):
        for name in raised(file):
            found.setdefault(name, file.name)
    ours = {name for name, kind in vars(errors).items() if isinstance(kind, type)}
    variables = {"error", "failed_download", "in_their_names"}  # and functions that give one
    assert {n: f for n, f in found.items() if n not in ours | OWN | INNER | variables} == {}


def test_each_is_a_keras_mm_error_and_a_built_in_one():
    kinds = [k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, Exception)]
    for kind in kinds:
        assert issubclass(kind, KerasMMError)
        if kind is not KerasMMError:
            assert kind.__bases__[1].__module__ == "builtins"
    assert len(kinds) > 10


def test_problems_survive_a_process_boundary():
    for error in (
        ConfigError(["`epochs` must be >= 1."], "config file"),
        TableError([Problem(3, "text", "a.csv", "no text")], skippable=False),
        TableError([Problem(3, "text", "a.csv", "no text")], none_left=True),
    ):
        copy = pickle.loads(pickle.dumps(error))
        assert type(copy) is type(error) and str(copy) == str(error)
        assert copy.problems == error.problems
