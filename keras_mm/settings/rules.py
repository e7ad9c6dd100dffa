"""Kinds of ranges: what a setting may be, in words and as a test. Loads no backend."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from typing import Any, NamedTuple

from keras_mm.checks import is_number, is_whole

SIDES = ("vision", "text")


class Rule(NamedTuple):
    """What a setting may be.

    Attributes:
        words: The rule in words, as they follow "must be".
        test: Whether a value keeps the rule.
        names: The names to choose from, where the rule is a choice.
        is_open: Whether values other than names are allowed too, so that a name that is not known
            is reported with the nearest one in the place of the rule.
    """

    words: str
    test: Callable[[Any], bool]
    names: tuple[str, ...] = ()
    is_open: bool = False


def quoted(names: Sequence[str]) -> str:
    """Names in quotes with commas between.

    Args:
        names: The names.

    Returns:
        One text.
    """
    return ", ".join(map(repr, names))


def whole(low: int) -> Rule:
    """An integer.

    Args:
        low: The smallest that is allowed.

    Returns:
        The rule.
    """
    return Rule(f"an integer >= {low}", lambda v: is_whole(v, low))


def one_of(*names: str) -> Rule:
    """One of some names.

    Args:
        *names: The names.

    Returns:
        The rule.
    """
    return Rule(f"one of {quoted(names)}", lambda v: isinstance(v, str) and v in names, names)


def instance(words: str, *kinds: type) -> Rule:
    """A value of some types.

    Args:
        words: The rule in words.
        *kinds: The types.

    Returns:
        The rule.
    """
    return Rule(words, lambda v: isinstance(v, kinds))


def or_object(rule: Rule, words: str) -> Rule:
    """What a rule allows, or an object that is made outside of this package.

    Args:
        rule: The rule for texts.
        words: What objects are allowed, in words.

    Returns:
        The rule.
    """
    return Rule(
        f"{rule.words}, or {words}",
        lambda v: rule.test(v) if isinstance(v, str) else callable(getattr(v, "get_config", None)),
        rule.names,
    )


def is_names(value: Any) -> bool:
    """Whether a value is a name, or several.

    Args:
        value: The value.

    Returns:
        Whether it is.
    """
    return isinstance(value, str) or (
        hasattr(value, "__len__") and all(isinstance(v, str) for v in value)
    )


def as_names(value: str | Sequence[str]) -> tuple[str, ...]:
    """Column names as a tuple; one name is a tuple of one.

    Args:
        value: One name, or several.

    Returns:
        The names.
    """
    return (value,) if isinstance(value, str) else tuple(value)


def is_different(value: Any) -> bool:
    """Whether a value is a list of things that are all different, and not empty.

    Args:
        value: The value.

    Returns:
        Whether it is.
    """
    if isinstance(value, str) or not hasattr(value, "__len__"):
        return False
    return 0 < len(value) == len({repr(v) for v in value})


def by_side(value: Any, test: Callable[[Any], bool]) -> bool:
    """Whether a value passes a test, or is a dict of values by side that do.

    Args:
        value: The value.
        test: The test.

    Returns:
        Whether it does.
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
    "a number > 0, or a dict of them by side ('vision', 'text')",
    lambda v: by_side(v, POSITIVE.test),
)
DEPTH_BY_SIDE = Rule(
    "a number of blocks >= 0, 'all', or a dict of them by side ('vision', 'text')",
    lambda v: by_side(v, _is_depth),
)
STRIDE = Rule("a part in (0, 1], as 0.8, or a whole number of tokens >= 1", _is_stride)
SEED = Rule("an integer in [0, 2**32)", lambda v: is_whole(v) and 0 <= v < 2**32)
BIT = Rule("0 or 1", lambda v: isinstance(v, bool | int) and v in (0, 1))
SIZE = Rule("a positive integer or a pair (height, width) of them", _is_size)
PATH = instance("a path", str, PathLike)
COLUMN = instance("a column name", str)
TWO_COLUMNS = Rule("at most two column names", lambda v: is_names(v) and len(as_names(v)) <= 2)
WEIGHTS = instance("'pretrained', 'random' or a path", str, PathLike)
BACKBONE = Rule(
    "a backbone's name, a folder, or a keras.Model",
    lambda v: not isinstance(v, bool | int | float),
)
DIFFERENT_NAMES = Rule("a list of label names, all different", is_different)
TOKENS = Rule("a list of texts, all different, none of them empty or with NUL", _is_tokens)
