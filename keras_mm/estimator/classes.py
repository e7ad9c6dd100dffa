"""Merges the classes of a trained head with new ones, when the head is trained again."""

from __future__ import annotations

from dataclasses import replace
from numbers import Real

from keras_mm.settings.heads import Head, resolve_threshold
from keras_mm.settings.label_keys import place_finder


def with_old_classes(head: Head, old: Head | None) -> Head:
    """Puts the classes of a trained head before the new classes of its new rows.

    Args:
        head: The head with the classes of the new rows.
        old: The trained head; `None` if it was not trained.

    Returns:
        The head with all classes, the old ones first and with their thresholds.
    """
    if old is None or old.kind != head.kind or head.kind == "regression":
        return head
    # Multi-hot rows have positions instead of names. They match names only if the old labels are
    # the numbers 0, 1, ..., too.
    numbered = old.multi_hot is not False and old.names == tuple(range(old.num_classes))
    places, form = bool(head.multi_hot) and not numbered, head.multi_hot
    if not isinstance(head.column, tuple):
        form = old.multi_hot if places or old.multi_hot is not None else form
    place_of = place_finder(old.names)
    # Rows of the other form have no comparable names; reading them raises an error later.
    mixed = places or (old.multi_hot and not head.multi_hot)
    new = [] if mixed else [name for name in head.names if place_of(name) is None]
    merged = replace(head, classes=(*old.names, *new), multi_hot=form, threshold=0.5)
    if head.kind != "multilabel" or (
        isinstance(head.threshold, Real) and isinstance(old.threshold, Real)
    ):
        return replace(merged, threshold=head.threshold)
    before = resolve_threshold(old.threshold, old.names).tolist()
    default = float(head.threshold) if isinstance(head.threshold, Real) else 0.5
    return replace(merged, threshold=(*before, *[default] * len(new)))
