"""Which baselines an evaluation trains. Loads no backend."""

from __future__ import annotations

from collections.abc import Sequence

from keras_mm.checks import quote
from keras_mm.errors import InvalidValueError
from keras_mm.settings.rules import Rule, as_names, is_names, quoted

BASELINES = ("lexical", "linear", "image_only", "text_only")


def _is_choice(value: object) -> bool:
    if isinstance(value, str):
        return value in ("auto", "none", *BASELINES)
    return isinstance(value, list | tuple) and is_names(value) and set(value) <= set(BASELINES)


BASELINES_RULE = Rule(
    f"'auto', 'none', or a list of {quoted(BASELINES)}",
    _is_choice,
)


def chosen_baselines(value: str | Sequence[str]) -> tuple[str, ...]:
    """Converts the setting `baselines` to names.

    Args:
        value: `"auto"` for all, `"none"`, a name, or a list of names.

    Returns:
        Names of `BASELINES`, in their order.

    Raises:
        ValueError: for any other value.

    Example:
        >>> chosen_baselines("none"), chosen_baselines(["linear", "lexical"])
        ((), ('lexical', 'linear'))
    """
    if not _is_choice(value):
        raise InvalidValueError(
            f"`baselines` must be {BASELINES_RULE.words}. Received: baselines={quote(value)}"
        )
    if value in ("auto", "none"):
        return BASELINES if value == "auto" else ()
    return tuple(name for name in BASELINES if name in as_names(value))
