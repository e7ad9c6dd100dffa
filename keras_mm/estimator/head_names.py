"""Heads of a classifier that a user names."""

from __future__ import annotations

import warnings
from collections.abc import Container, Iterable, Mapping, Sequence

from keras_mm.checks import unknown_name
from keras_mm.errors import InvalidValueError
from keras_mm.settings.heads import Head, as_heads


def choose_heads(
    names: str | Sequence[str], known: Mapping[str, Head], untrained: Container[str] = ()
) -> dict[str, Head]:
    """The heads that are named.

    Args:
        names: Name of a head, or several.
        known: The heads that can be named.
        untrained: Names of heads that have been added and not trained yet, for the message.

    Returns:
        Heads by name, in the order of `names`.

    Raises:
        ValueError: if there is no name, or one is not known.
    """
    names = [names] if isinstance(names, str) else list(names)
    if not names:
        raise InvalidValueError(f"Name at least one head of {list(known)}.")
    for name in names:
        if name not in known:
            later = " `fit_head` has not trained it yet." if name in untrained else ""
            raise InvalidValueError(unknown_name("head", name, known) + later)
    return {name: known[name] for name in names}


def check_new_head(
    name: str, head: Head, heads: Mapping[str, Head], added: Mapping[str, Head]
) -> None:
    """Refuses a head that cannot be added to a model.

    Args:
        name: The new head's name.
        head: The new head.
        heads: The model's heads by name.
        added: Heads that have been added and not trained yet.

    Raises:
        ValueError: if the model has a head of that name, or the name cannot be a head's.
    """
    if name in heads:
        raise InvalidValueError(
            f"The model has a head {name!r} already; `fit_head` trains it anew."
        )
    as_heads({**heads, **added, name: head})


def warn_of_untrained(
    declared: Iterable[str], before: Container[str], after: Container[str]
) -> None:
    """Warns of added heads that were trained, and that the new model of `fit` does not have.

    Args:
        declared: Names of the heads of `add_head`.
        before: Names of the heads that were trained before.
        after: Names of the heads that are trained now.

    Warns:
        UserWarning: naming them.
    """
    lost = [name for name in declared if name in before and name not in after]
    if lost:
        warnings.warn(
            f"`fit` trains the heads of `labels`. {_listed(lost)} of `add_head` must be trained "
            f"again: fit_head({lost[0]!r}, ...).",
            stacklevel=4,
        )


def _listed(names: Sequence[str]) -> str:
    words = ", ".join(map(repr, names))
    return f"The head {words}" if len(names) == 1 else f"The heads {words}"


def choose_multilabel(heads: Mapping[str, Head], name: str | None) -> str:
    """The name of a multilabel head.

    Args:
        heads: The model's heads by name.
        name: The name that was given; `None` for the only multilabel head.

    Returns:
        The name.

    Raises:
        ValueError: if there is no such head, or several and no name.
    """
    known = [key for key, head in heads.items() if head.kind == "multilabel"]
    if name is None and len(known) == 1:
        return known[0]
    if name is None or name not in known:
        raise InvalidValueError(
            f"`head` must be a multilabel head, one of {known}. Received: head={name!r}"
        )
    return name
