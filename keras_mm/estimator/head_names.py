"""Checks the names of heads that the user gives to the estimator."""

from __future__ import annotations

import warnings
from collections.abc import Container, Iterable, Mapping, Sequence

from keras_mm.checks import unknown_name
from keras_mm.errors import InvalidValueError
from keras_mm.settings.heads import Head, as_heads


def choose_heads(
    names: str | Sequence[str], known: Mapping[str, Head], untrained: Container[str] = ()
) -> dict[str, Head]:
    """The heads with the given names.

    Args:
        names: Name of a head, or several names.
        known: The heads to choose from, by name.
        untrained: Names of heads that were added but are not trained yet, for the message.

    Returns:
        Heads by name, in the order of `names`.

    Raises:
        ValueError: if there is no name, or a name is not in `known`.
    """
    names = [names] if isinstance(names, str) else list(names)
    if not names:
        raise InvalidValueError(f"At least one head must be named, of {list(known)}.")
    for name in names:
        if name not in known:
            hint = " `fit_head` has not trained it yet." if name in untrained else ""
            raise InvalidValueError(unknown_name("head", name, known) + hint)
    return {name: known[name] for name in names}


def check_new_head(
    name: str, head: Head, heads: Mapping[str, Head], added: Mapping[str, Head]
) -> None:
    """Checks that a head can be added to a model.

    Args:
        name: Name of the new head.
        head: The new head.
        heads: Heads of the model by name.
        added: Heads that were added but are not trained yet, by name.

    Raises:
        ValueError: if the model has a head with this name, or the name is not allowed.
    """
    if name in heads:
        raise InvalidValueError(
            f"The model already has a head {name!r}; `fit_head` trains it again."
        )
    as_heads({**heads, **added, name: head})


def warn_of_untrained(
    declared: Iterable[str], before: Container[str], after: Container[str]
) -> None:
    """Warns of added heads that were trained, but that the new model of `fit` does not have.

    Args:
        declared: Names of the heads of `add_head`.
        before: Names of the heads of the model before `fit`.
        after: Names of the heads of the model after `fit`.

    Warns:
        UserWarning: with the names of such heads.
    """
    lost = [name for name in declared if name in before and name not in after]
    if lost:
        warnings.warn(
            f"`fit` trains only the heads of `labels`. {_listed(lost)} of `add_head` must be "
            f"trained again: fit_head({lost[0]!r}, ...).",
            stacklevel=4,
        )


def _listed(names: Sequence[str]) -> str:
    words = ", ".join(map(repr, names))
    return f"The head {words}" if len(names) == 1 else f"The heads {words}"


def choose_multilabel(heads: Mapping[str, Head], name: str | None) -> str:
    """Chooses a multilabel head by name.

    Args:
        heads: Heads of the model by name.
        name: Name of the head; `None` for the only multilabel head.

    Returns:
        Name of the head.

    Raises:
        ValueError: if there is no such head, or if no name is given and there are several.
    """
    known = [key for key, head in heads.items() if head.kind == "multilabel"]
    if name is None and len(known) == 1:
        return known[0]
    if name is None or name not in known:
        raise InvalidValueError(
            f"`head` must be a multilabel head, one of {known}. Received: head={name!r}"
        )
    return name
