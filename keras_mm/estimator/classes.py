"""The classes of a head that is trained again, on rows that may have new classes."""

from __future__ import annotations

from dataclasses import replace
from numbers import Real

from keras_mm.settings.heads import Head, resolve_threshold
from keras_mm.settings.label_keys import place_finder


def with_old_classes(head: Head, old: Head | None) -> Head:
    """The head with its old classes in their order, and new classes after them.

    Args:
        head: The head with the classes of the new rows.
        old: The head as it was trained; `None` if it was not.

    Returns:
        The head with all classes, and with the old thresholds of the old ones.
    """
    if old is None or old.kind != head.kind or head.kind == "regression":
        return head
    # Columns of a multi-hot table have no names; their numbers are the names only if the old labels
    # were numbers too.
    numbered = old.multi_hot is not False and old.names == tuple(range(old.num_classes))
    places, form = bool(head.multi_hot) and not numbered, head.multi_hot
    if not isinstance(head.column, tuple):
        form = old.multi_hot if places or old.multi_hot is not None else form
    place_of = place_finder(old.names)
    unfit = places or (old.multi_hot and not head.multi_hot)  # such rows are an error later
    new = [] if unfit else [name for name in head.names if place_of(name) is None]
    grown = replace(head, classes=(*old.names, *new), multi_hot=form, threshold=0.5)
    if head.kind != "multilabel" or (
        isinstance(head.threshold, Real) and isinstance(old.threshold, Real)
    ):
        return replace(grown, threshold=head.threshold)
    before = resolve_threshold(old.threshold, old.names).tolist()
    most = float(head.threshold) if isinstance(head.threshold, Real) else 0.5
    return replace(grown, threshold=(*before, *[most] * len(new)))
