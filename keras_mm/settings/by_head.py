"""Conversions between dicts by head, used inside the package, and the bare value of a single head.

With one head, Keras models, datasets and public methods use the value without a dict.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def by_head(names: Iterable[str], values: Any) -> dict[str, Any]:
    """Converts the output of a Keras model or dataset to a dict by head.

    With one head, Keras models and datasets hold its logits or labels without a dict, as users of
    Keras expect; all other code uses dicts. `one_or_all` is the inverse.

    Args:
        names: Names of the heads, in order.
        values: A mapping by head; the value of the only head; or `None` for no values.

    Returns:
        Values by head; an empty dict for `None`.

    Example:
        >>> by_head(["mood"], 3), by_head(["mood", "tags"], {"mood": 1, "tags": 2})
        ({'mood': 3}, {'mood': 1, 'tags': 2})
    """
    if values is None:
        return {}
    return dict(values) if isinstance(values, Mapping) else {next(iter(names)): values}


def one_or_all(values: Mapping[str, Any]) -> Any:
    """Converts a dict by head to the value of its only head, if it has only one.

    Args:
        values: Values by head, at least one.

    Returns:
        The value of the only head; with several heads, a dict by head.
    """
    return dict(values) if len(values) > 1 else next(iter(values.values()))


def head_prefixes(names: Iterable[str]) -> dict[str, str]:
    """The prefixes of columns, outputs and metrics in public results.

    Args:
        names: Names of all heads of a model, in order.

    Returns:
        Prefixes by head: `"<head>_"` with several heads, the empty string with one.

    Example:
        >>> head_prefixes(["mood", "tags"]), head_prefixes(["mood"])
        ({'mood': 'mood_', 'tags': 'tags_'}, {'mood': ''})
    """
    names = list(names)
    return {name: f"{name}_" if len(names) > 1 else "" for name in names}
