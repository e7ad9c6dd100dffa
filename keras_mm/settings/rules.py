"""Rules for the values of settings, each as a phrase and as a test. Loads no backend."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from numbers import Integral
from os import PathLike
from typing import Any, NamedTuple

from keras_mm.checks import is_number, is_whole

SIDES = ("vision", "text")


class Rule(NamedTuple):
    """The allowed values of a setting.

    Attributes:
        words: The rule as a phrase that completes "must be".
        test: Returns whether a value is allowed.
        names: The names to choose from, if the rule is a choice of names.
        is_open: Whether other values than these names are allowed, too. An unknown name is then
            reported with the nearest known one instead of the whole rule.
    """

    words: str
    test: Callable[[Any], bool]
    names: tuple[str, ...] = ()
    is_open: bool = False


def quoted(names: Sequence[str]) -> str:
    """Joins names for a message.

    Args:
        names: The names.

    Returns:
        The names in quotes, separated by commas.
    """
    return ", ".join(map(repr, names))


def whole(low: int) -> Rule:
    """The rule for an integer.

    Args:
        low: The smallest allowed value.

    Returns:
        The rule.
    """
    return Rule(f"an integer >= {low}", lambda v: is_whole(v, low))


def one_of(*names: str) -> Rule:
    """The rule for a choice of names.

    Args:
        *names: The allowed names.

    Returns:
        The rule.
    """
    return Rule(f"one of {quoted(names)}", lambda v: isinstance(v, str) and v in names, names)


def instance(words: str, *kinds: type) -> Rule:
    """The rule for values of some types.

    Args:
        words: The rule as a phrase that completes "must be".
        *kinds: The allowed types.

    Returns:
        The rule.
    """
    return Rule(words, lambda v: isinstance(v, kinds))


def or_object(rule: Rule, words: str) -> Rule:
    """The rule for a name or a Keras object, such as an optimizer.

    Args:
        rule: The rule for names.
        words: The allowed objects, as a phrase.

    Returns:
        The rule.
    """
    return Rule(
        f"{rule.words}, or {words}",
        lambda v: rule.test(v) if isinstance(v, str) else callable(getattr(v, "get_config", None)),
        rule.names,
    )


def is_names(value: Any) -> bool:
    """Whether a value is a string, or a sequence of strings.

    Args:
        value: The value to test.

    Returns:
        True for a string or a sequence of strings, also an empty one.
    """
    return isinstance(value, str) or (
        hasattr(value, "__len__") and all(isinstance(v, str) for v in value)
    )


def as_names(value: str | Sequence[str]) -> tuple[str, ...]:
    """Converts one or several column names to a tuple.

    Args:
        value: One name, or several.

    Returns:
        The names.
    """
    return (value,) if isinstance(value, str) else tuple(value)


def as_size(value: Any) -> tuple[int, int]:
    """Converts the setting `image_size` to a pair.

    Args:
        value: One number for both sides, or a pair, in pixels.

    Returns:
        `(height, width)`.
    """
    height, width = (value, value) if isinstance(value, Integral) else value
    return int(height), int(width)


def is_different(value: Any) -> bool:
    """Whether a value is a non-empty sequence without repeated elements; a string is not.

    Args:
        value: The value to test.

    Returns:
        True for such a sequence.
    """
    if isinstance(value, str) or not hasattr(value, "__len__"):
        return False
    # By `repr`: elements may be unhashable, and 1, 1.0 and True are equal but different labels.
    return 0 < len(value) == len({repr(v) for v in value})


def by_side(value: Any, test: Callable[[Any], bool]) -> bool:
    """Whether a value, or each value of a dict by side, passes a test.

    Args:
        value: A value; or a dict of values by `"vision"` and `"text"`, at least one of them.
        test: The test of one value.

    Returns:
        True if all pass.
    """
    if isinstance(value, Mapping):
        return bool(value) and set(value) <= set(SIDES) and all(map(test, value.values()))
    return test(value)


def _is_size(value: Any) -> bool:
    if isinstance(value, Sequence):
        return len(value) == 2 and all(is_whole(v) and v > 0 for v in value)
    return is_whole(value) and value > 0


def _is_pair_of_parts(value: Any) -> bool:
    return isinstance(value, Sequence) and len(value) == 2 and all(map(PART.test, value))


def _is_tokens(value: Any) -> bool:
    if not (is_names(value) and not isinstance(value, str)):
        return False
    return all(v and "\0" not in v for v in value) and (not value or is_different(value))


def _is_depth(value: Any) -> bool:
    return value == "all" if isinstance(value, str) else is_whole(value, 0)


def _is_stride(value: Any) -> bool:
    # 1 is a number of tokens, 1.0 a fraction.
    return is_whole(value, 1) or (not is_whole(value) and is_number(value) and 0 < value <= 1)


TRUTH = instance("True or False", bool)
PART = Rule("a number in [0, 1)", lambda v: is_number(v) and 0 <= v < 1)
POSITIVE = Rule("a number > 0", lambda v: is_number(v) and v > 0)
NOT_NEGATIVE = Rule("a number >= 0", lambda v: is_number(v) and v >= 0)
FACTOR = Rule("a number in (0, 1)", lambda v: is_number(v) and 0 < v < 1)
FACTOR_OR_ONE = Rule("a number in (0, 1]", lambda v: is_number(v) and 0 < v <= 1)
DEGREES = Rule("a number in [0, 180]", lambda v: is_number(v) and 0 <= v <= 180)
TWO_PARTS = Rule("two numbers in [0, 1)", _is_pair_of_parts)
RATE_BY_SIDE = Rule(
    "a number > 0, or a dict of numbers by side ('vision', 'text')",
    lambda v: by_side(v, POSITIVE.test),
)
DEPTH_BY_SIDE = Rule(
    "an integer number of blocks >= 0, 'all', or a dict of these by side ('vision', 'text')",
    lambda v: by_side(v, _is_depth),
)
STRIDE = Rule("a fraction in (0, 1], such as 0.8, or an integer number of tokens >= 1", _is_stride)
SEED = Rule("an integer in [0, 2**32)", lambda v: is_whole(v) and 0 <= v < 2**32)
BIT = Rule("0 or 1", lambda v: isinstance(v, bool | int) and v in (0, 1))
SIZE = Rule("a positive integer, or a pair of them: (height, width)", _is_size)
PATH = instance("a path", str, PathLike)
COLUMN = instance("a column name", str)
TWO_COLUMNS = Rule("at most two column names", lambda v: is_names(v) and len(as_names(v)) <= 2)
WEIGHTS = instance("'pretrained', 'random' or a path", str, PathLike)
BACKBONE = Rule(
    "a backbone's name, a folder, or a keras.Model",
    lambda v: not isinstance(v, bool | int | float),
)
DIFFERENT_NAMES = Rule("a list of different label names", is_different)
TOKENS = Rule("a list of different texts, none of them empty or with a NUL character", _is_tokens)
