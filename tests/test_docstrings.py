"""The examples of docstrings run, and the docstrings of public names describe each argument."""

import doctest
import importlib
import inspect
import io
import pkgutil
import re

import pytest

import keras_mm

TENSORFLOW_ONLY = ("keras_mm.export.saved_model", "keras_mm.export.check_saved_model")

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(keras_mm.__path__, "keras_mm.")
    if not module.name.endswith("__main__")
)


def failures(module, flags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE):
    """What the examples of a module's docstrings print where they fail."""
    said = io.StringIO()
    runner = doctest.DocTestRunner(optionflags=flags)
    for test in doctest.DocTestFinder(exclude_empty=True).find(module):
        runner.run(test, out=said.write)
    return said.getvalue()


@pytest.mark.many_networks
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
