"""The heads of a model, which say what it predicts, as plain data. Loads no backend."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, fields
from numbers import Real
from typing import TYPE_CHECKING, Any

from keras_mm.checks import is_number, nearest_name, quote, unknown_name
from keras_mm.errors import InvalidValueError
from keras_mm.settings.label_keys import by_place

if TYPE_CHECKING:
    import numpy as np

# The losses of each kind of head, its default first.
HEAD_LOSSES = {
    "multiclass": ("cross_entropy", "focal", "logit_adjusted"),
    "binary": ("cross_entropy", "focal", "logit_adjusted"),
    "multilabel": ("cross_entropy", "focal"),
    "regression": ("mean_squared_error", "mean_absolute_error", "huber"),
}
HEAD_KINDS = tuple(HEAD_LOSSES)
# Layers, outputs and files are named after heads, so a name must be valid in all of them.
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


@dataclass(frozen=True)
class Head:
    """One prediction of the model: its kind, its label names, and how it is trained.

    A head computes logits from the fused features. Two classes get `multiclass` with two logits by
    default; `binary` uses one logit and a sigmoid.

    Args:
        kind: `"multiclass"` (softmax over the classes), `"binary"` (one logit), `"multilabel"` (a
            sigmoid for each label, any number of labels per row) or `"regression"` (numbers).
        classes: Label names in the order of the logits, or their number; for `"regression"` the
            names of the targets. `None` means two classes, or one target.
        column: The table's label column; `None` means the head's own name. For `"regression"` and
            `"multilabel"` several columns are allowed, one for each target or label (0 or 1).
        loss: Name of a loss of `keras_mm.create_loss` for this kind. `None` uses the trainer's
            loss; for `"regression"` it is mean squared error.
        class_weight: `None`, `"balanced"`, `"effective_number"`, a dict by label name, or a
            sequence in class order. For `"multilabel"`, the weight of the positive rows of each
            label.
        loss_weight: Weight, >= 0, of this head's loss in the sum over all heads.
        threshold: For `"multilabel"`: a label is predicted if its probability is at least this; a
            number in [0, 1], one per label, or a dict by label name.
        dropout_rate: Dropout of the fused features before this head, in [0, 1).
        l2: Weight, >= 0, of the sum of this head's squared weights in the loss.
        multi_hot: For `"multilabel"` in one column: whether its cells hold a 0 or 1 for each label
            (`True`) or names of labels (`False`). `None` decides from the training table, once for
            the whole column: it is multi-hot if all cells hold only zeros and ones, or if most
            cells hold a 0 or 1 for each label. If labels are named 0 or 1, all tables must use the
            form of the training table.

    Raises:
        ValueError: for an unknown kind or loss, too few classes, repeated names, or numbers out of
            range; it lists all problems.

    Example:
        >>> Head("binary", classes=("no", "yes")).num_logits
        1
    """

    kind: str = "multiclass"
    classes: int | tuple | None = None
    column: str | tuple[str, ...] | None = None
    loss: str | None = None
    class_weight: str | Mapping | Sequence[float] | None = None
    loss_weight: float = 1.0
    threshold: float | Sequence[float] | Mapping = 0.5
    dropout_rate: float = 0.0
    l2: float = 0.0
    multi_hot: bool | None = None

    def __post_init__(self):
        if self.kind not in HEAD_KINDS:
            raise InvalidValueError(
                f"`kind` must be one of {HEAD_KINDS}. Received: kind={self.kind!r}"
            )
        # Only plain, hashable values: heads are compared, hashed and written as JSON.
        if hasattr(self.classes, "tolist"):  # a NumPy array
            object.__setattr__(self, "classes", self.classes.tolist())
        if isinstance(self.classes, Sequence) and not isinstance(self.classes, str):
            object.__setattr__(self, "classes", tuple(self.classes))
        if isinstance(self.column, list):
            object.__setattr__(self, "column", tuple(self.column))
        for name in ("threshold", "class_weight"):
            object.__setattr__(self, name, _plain(getattr(self, name)))
        mistakes = [*self._class_mistakes(), *self._setting_mistakes()]
        if mistakes:
            raise InvalidValueError("\n".join(mistakes))

    def _class_mistakes(self) -> list[str]:
        received = f"Received: classes={self.classes!r}"
        if self.classes is None:
            return []
        names = self.classes if isinstance(self.classes, tuple) else ()
        named = all(isinstance(name, Hashable) and name is not None for name in names)
        if not (isinstance(self.classes, int | tuple) and named):
            # A set is refused, too: it has no order, but the logits have one.
            return [f"`classes` must be a list of label names, or their number. {received}"]
        mistakes = []
        if isinstance(self.classes, tuple) and len(set(self.classes)) != len(self.classes):
            mistakes.append(f"`classes` repeats a name. {received}")
        if isinstance(self.classes, bool) or self.num_classes < self._min_classes:
            least = {1: "one label", 2: "two classes"}[self._min_classes]
            least = "one target" if self.kind == "regression" else least
            mistakes.append(f"A {self.kind} head needs at least {least}. {received}")
        if self.kind == "binary" and self.num_classes > 2:
            mistakes.append(
                f"A binary head has exactly two classes; use kind='multiclass' for more. {received}"
            )
        return mistakes

    def _column_mistakes(self) -> list[str]:
        columns, received = self.column, f"Received: column={self.column!r}"
        if columns is None:  # the column has the head's name, or there is no table
            return []
        if isinstance(columns, str):
            targets = self.kind == "regression" and not self._class_mistakes()
            if targets and self.num_classes > 1:
                return [
                    f"`column` must name a column for each target, {self.num_classes} in all. "
                    f"{received}"
                ]
            return []
        if not (isinstance(columns, tuple) and columns):
            return [f"`column` must be a column name, or a list of column names. {received}"]
        if self.classes is None or self.kind in ("multiclass", "binary"):
            return []
        if not self._class_mistakes() and self.num_classes != len(columns):
            return [
                f"`column` must name a column for each class, {self.num_classes} in all. {received}"
            ]
        if set(self.names) == set(columns) and self.names != columns:
            # Each column would silently get the name of another one.
            return [
                "`classes` must have the order of the columns. "
                f"Received: classes={self.classes!r}, column={columns!r}"
            ]
        return []

    def _setting_mistakes(self) -> list[str]:
        mistakes = self._column_mistakes()
        weights = ("balanced", "effective_number")
        if isinstance(self.class_weight, str) and self.class_weight not in weights:
            mistakes.append(
                f"`class_weight` as a string must be one of {weights}. "
                f"Received: class_weight={self.class_weight!r}"
            )
        losses = HEAD_LOSSES[self.kind]
        if self.loss is not None and self.loss not in losses:
            nearest = nearest_name(self.loss, losses)
            hint = f" Did you mean {nearest!r}?" if nearest else ""
            mistakes.append(
                f"`loss` of a {self.kind} head must be one of {losses}. "
                f"Received: loss={self.loss!r}.{hint}"
            )
        if not isinstance(self.multi_hot, bool | None):
            mistakes.append(
                f"`multi_hot` must be True, False or None. Received: multi_hot={self.multi_hot!r}"
            )
        elif self.multi_hot is not None and (
            self.kind != "multilabel" or isinstance(self.column, tuple)
        ):
            mistakes.append(
                "`multi_hot` is only for multilabel heads with one column. Received: "
                f"kind={self.kind!r}, column={self.column!r}, multi_hot={self.multi_hot!r}"
            )
        if self.kind == "regression" and self.class_weight is not None:
            mistakes.append(
                "A regression head has no classes to weigh. "
                f"Received: class_weight={self.class_weight!r}"
            )
        for name, limit in (("loss_weight", None), ("l2", None), ("dropout_rate", 1)):
            value = getattr(self, name)
            if not (is_number(value) and value >= 0 and (limit is None or value < limit)):
                allowed = ">= 0" if limit is None else f"in [0, {limit})"
                mistakes.append(f"`{name}` must be {allowed}. Received: {name}={value!r}")
        if self.kind == "multilabel" and not self._class_mistakes():
            try:
                if self.classes is not None:
                    resolve_threshold(self.threshold, self.names)
                elif not isinstance(self.threshold, Mapping):
                    many = self.threshold if isinstance(self.threshold, Sequence) else (0,)
                    resolve_threshold(self.threshold, range(len(many)))
            except ValueError as error:
                mistakes.append(str(error))
        if self.kind != "multilabel" and not (
            isinstance(self.threshold, Real) and self.threshold == 0.5
        ):
            mistakes.append(
                "`threshold` is only for multilabel heads. "
                f"Received: kind={self.kind!r}, threshold={self.threshold!r}"
            )
        return mistakes

    @property
    def _min_classes(self) -> int:
        return 2 if self.kind in ("multiclass", "binary") else 1

    @property
    def num_classes(self) -> int:
        """Number of classes or labels; for `"regression"`, number of targets.

        Raises:
            ValueError: for a multilabel head without `classes`.
        """
        if self.classes is None:
            if self.kind == "multilabel":
                raise InvalidValueError(
                    "A multilabel head needs `classes`: label names or their number."
                )
            return self._min_classes
        return self.classes if isinstance(self.classes, int) else len(self.classes)

    @property
    def num_logits(self) -> int:
        """Width of the logits: 1 for a binary head, else the number of classes or targets."""
        return 1 if self.kind == "binary" else self.num_classes

    @property
    def names(self) -> tuple:
        """Names of the labels or targets in the order of the logits; by default 0, 1, ..."""
        return self.classes if isinstance(self.classes, tuple) else tuple(range(self.num_classes))


def as_heads(heads: int | Head | Mapping[str, Head], *, argument: str = "heads") -> dict[str, Head]:
    """Converts the forms in which users may pass heads to a dict by name.

    Args:
        heads: A number of classes, for one multiclass head; a `Head`; or a dict of heads by name.
        argument: Name of the argument that the user gave them as, for the messages.

    Returns:
        Heads by name; a head without a name is called `"label"`.

    Raises:
        ValueError: if the type is another, the dict is empty, or a name is not allowed. Names begin
            with a letter, consist of letters, digits, `_` and `-`, do not begin with `val_`, and
            differ in more than upper and lower case.
    """
    if isinstance(heads, bool):
        raise InvalidValueError(
            f"`{argument}` must be an int, a Head or a dict. Received: {argument}={heads}"
        )
    if isinstance(heads, int):
        return {"label": Head(classes=heads)}
    if isinstance(heads, Head):
        return {"label": heads}
    if isinstance(heads, Mapping) and heads and all(isinstance(h, Head) for h in heads.values()):
        mistakes = _name_mistakes(list(heads))
        if mistakes:
            raise InvalidValueError("\n".join(mistakes))
        return dict(heads)
    allowed = "" if argument == "labels" else "a number of classes, a keras_mm.Head, or "
    raise InvalidValueError(
        f"`{argument}` must be {allowed}a dict of name to keras_mm.Head, not empty. "
        f"Received: {argument}={heads!r}"
    )


def as_labels(value: Any) -> str | tuple[str, ...] | dict[str, Head]:
    """Converts the setting `labels` to one form.

    Args:
        value: A column; a list of columns; or heads, or dicts of their fields, by name.

    Returns:
        A column; several columns as a tuple; or heads by name.

    Raises:
        ValueError: if a head is invalid; it lists all problems, see `keras_mm.Head`.
    """
    if isinstance(value, str):
        return value
    if not isinstance(value, Mapping):
        return tuple(value)
    heads = {name: _as_head(name, head) for name, head in value.items()}
    return as_heads(heads, argument="labels")


def columns_of(labels: str | Sequence[str] | Mapping[str, Head]) -> list[str]:
    """The label columns that a setting names.

    Args:
        labels: As `as_labels` returns it.

    Returns:
        The columns, in order.
    """
    if isinstance(labels, str):
        return [labels]
    if not isinstance(labels, Mapping):
        return list(labels)
    columns = ((name,) if h.column is None else h.column for name, h in labels.items())
    return [name for one in columns for name in ((one,) if isinstance(one, str) else one)]


def _as_head(name: str, head: Any) -> Head:
    if isinstance(head, Head):
        return head
    if not isinstance(head, Mapping):
        raise InvalidValueError(
            f"the head {name!r} must be a keras_mm.Head or a dict. Received: {head!r}"
        )
    known = [f.name for f in fields(Head)]
    mistakes = [unknown_name("setting", str(key), known) for key in head if key not in known]
    if not mistakes:
        try:
            return Head(**head)
        except ValueError as error:
            mistakes = str(error).splitlines()
    raise InvalidValueError("\n".join(f"the head {name!r}: {mistake}" for mistake in mistakes))


def _name_mistakes(names: list) -> list[str]:
    mistakes = [
        f"{name!r} cannot be the name of a head: a name begins with a letter and consists of "
        "letters, digits, '_' and '-'. The column may have any name: Head(column=...)."
        for name in names
        if not (isinstance(name, str) and _NAME.fullmatch(name))
    ]
    mistakes += [
        f"{name!r} cannot be the name of a head: names of validation metrics begin with 'val_'."
        for name in names
        if str(name).casefold() == "val" or str(name).casefold().startswith("val_")
    ]
    seen: dict[str, Any] = {}
    for name in names:
        other = seen.setdefault(str(name).casefold(), name)
        if other is not name:
            mistakes.append(
                f"The heads {other!r} and {name!r} collide: outputs and files are named after "
                "heads, and names must differ in more than upper and lower case."
            )
    return mistakes


def _plain(value: Any) -> Any:
    """Converts a list or array to a tuple of Python numbers, so that heads can be compared."""
    value = value.tolist() if hasattr(value, "tolist") else value
    return tuple(value) if isinstance(value, list) else value


def resolve_threshold(threshold: Any, classes: Sequence[Any]) -> np.ndarray:
    """One threshold per label.

    Args:
        threshold: A number for all labels; one per label in the order of `classes`; or a dict by
            label name, where a label left out has 0.5.
        classes: Label names.

    Returns:
        Floats in [0, 1], shape `(num_labels,)`.

    Raises:
        ValueError: if the number of thresholds differs from the number of labels, a name is unknown
            or repeated, or a threshold is not in [0, 1].

    Example:
        >>> import numpy as np
        >>> (np.array([0.3, 0.8, 0.6]) >= resolve_threshold([0.25, 0.9, 0.6], "abc")).tolist()
        [True, False, True]
    """
    import numpy as np  # here, because reading settings must be fast and does not need NumPy

    received = f"Received: threshold={threshold!r}"
    if isinstance(threshold, Mapping):
        known, unknown, repeated = by_place(threshold, classes)
        if unknown:
            names = [str(name) for name in classes]
            raise InvalidValueError(
                f"`threshold` names {quote(unknown[0])}, which is not one of {quote(names)}."
            )
        if repeated:
            raise InvalidValueError(
                f"`threshold` names the label {quote(repeated[0])} twice. {received}"
            )
        threshold = [known.get(place, 0.5) for place in range(len(classes))]
    try:
        thresholds = np.asarray(threshold, "float64")
    except (TypeError, ValueError):
        raise InvalidValueError(
            f"`threshold` must be a number, one per label, or a dict of them. {received}"
        ) from None
    thresholds = np.full(len(classes), float(thresholds)) if thresholds.ndim == 0 else thresholds
    if thresholds.shape != (len(classes),):
        raise InvalidValueError(
            f"`threshold` must be a number or one per label, {len(classes)} in all. {received}"
        )
    if not ((thresholds >= 0) & (thresholds <= 1)).all():
        raise InvalidValueError(f"`threshold` must be in [0, 1]. {received}")
    return thresholds
