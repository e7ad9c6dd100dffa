"""Values by head, and what of it Keras and users see: of a model with one head, the bare value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def by_head(names: Iterable[str], values: Any) -> dict[str, Any]:
    """What a Keras model or dataset gives, always as a dict by head.

    Keras models and datasets of one head hold its logits or labels bare, as Keras' users expect;
    all other code holds dicts. This function is the way in, `one_or_all` the way out.

    Args:
        names: Names of the heads, in order.
        values: A mapping by head; or the only head's value; or `None` for no values.

    Returns:
        Values by head; an empty dict for `None`.

    Example:
        >>> by_head(["mood"], 3), by_head(["mood", "tags"], {"mood": 1, "tags": 2})
        ({'mood': 3}, {'mood': 1, 'tags': 2})
    """
    if values is None:
        return {}
    return dict(values) if isinstance(values, Mapping) else {next(iter(names)): values}


def one_or_all(found: Mapping[str, Any]) -> Any:
    """The value of the only head; of several heads, a dict by head.

    Args:
        found: Values by head, at least one.

    Returns:
        A value, or a dict.
    """
    return dict(found) if len(found) > 1 else next(iter(found.values()))


def head_prefixes(names: Iterable[str]) -> dict[str, str]:
    """What public names of columns, outputs and metrics begin with, by head: of one head nothing.

    Args:
        names: Names of all heads of a model, in order.

    Returns:
        Prefixes by head.

    Example:
        >>> head_prefixes(["mood", "tags"]), head_prefixes(["mood"])
        ({'mood': 'mood_', 'tags': 'tags_'}, {'mood': ''})
    """
    names = list(names)
    return {name: f"{name}_" if len(names) > 1 else "" for name in names}
