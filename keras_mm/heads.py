"""What a model answers: the heads, as plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

HEAD_KINDS = ("multiclass", "binary")


@dataclass(frozen=True)
class Head:
    """One answer of the model: its kind, its label names, and how it is trained.

    A head turns the fused features into logits. Two classes are `multiclass` with two logits
    unless `binary` (one logit, a sigmoid) is asked for.

    Args:
        kind: `"multiclass"` (softmax over the classes) or `"binary"` (one logit).
        classes: Label names in the order of the logits, or their number.
        column: The table's label column; `None` means the head's own name.
        loss: Name of a loss of `keras_mm.create_loss`.
        class_weight: `None`, `"balanced"`, `"effective_number"`, a dict by label name, or a
            sequence in class order.

    Raises:
        ValueError: for an unknown kind, fewer than two classes, a bare string, repeated
            label names, or a binary head with other than two classes.

    Example:
        >>> Head("binary", classes=("no", "yes")).num_logits
        1
    """

    kind: str = "multiclass"
    classes: int | tuple = 2
    column: str | None = None
    loss: str = "cross_entropy"
    class_weight: str | Mapping | Sequence[float] | None = None

    def __post_init__(self):
        if self.kind not in HEAD_KINDS:
            raise ValueError(f"`kind` must be one of {HEAD_KINDS}. Received: kind={self.kind!r}")
        if isinstance(self.classes, str):
            raise ValueError(
                f"`classes` must be label names or their number. Received: classes={self.classes!r}"
            )
        if not isinstance(self.classes, int):
            object.__setattr__(self, "classes", tuple(self.classes))
            if len(set(self.classes)) != len(self.classes):
                raise ValueError(f"`classes` repeats a name. Received: classes={self.classes}")
        if self.num_classes < 2:
            raise ValueError(
                f"A head needs at least two classes. Received: classes={self.classes!r}"
            )
        if self.kind == "binary" and self.num_classes != 2:
            raise ValueError(
                "A binary head has exactly two classes; use kind='multiclass' for more. "
                f"Received: classes={self.classes!r}"
            )

    @property
    def num_classes(self) -> int:
        """How many classes the head tells apart."""
        return self.classes if isinstance(self.classes, int) else len(self.classes)

    @property
    def num_logits(self) -> int:
        """Width of the logits: 1 for a binary head, else the number of classes."""
        return 1 if self.kind == "binary" else self.num_classes


def as_heads(heads: int | Head | Mapping[str, Head]) -> dict[str, Head]:
    """Heads by name from an int (classes of one multiclass head), a `Head` or a dict.

    Raises:
        ValueError: if it is none of these, or the dict is empty.
    """
    if isinstance(heads, bool):
        raise ValueError(f"`heads` must be an int, a Head or a dict. Received: heads={heads}")
    if isinstance(heads, int):
        return {"label": Head(classes=heads)}
    if isinstance(heads, Head):
        return {"label": heads}
    if isinstance(heads, Mapping) and heads and all(isinstance(h, Head) for h in heads.values()):
        return dict(heads)
    raise ValueError(
        "`heads` must be a number of classes, a keras_mm.Head, or a dict of name to Head. "
        f"Received: heads={heads!r}"
    )
