"""How long texts are cut into windows, as plain data. Loads no backend."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

from keras_mm.checks import unknown_name
from keras_mm.errors import InvalidValueError
from keras_mm.settings.documentation import documented
from keras_mm.settings.knobs import check_knobs, knob, rules
from keras_mm.settings.label_keys import place_finder
from keras_mm.settings.rules import STRIDE, Rule, instance, one_of

_TEXT = Rule("a text column", lambda v: isinstance(v, str) and bool(v))


@documented
@dataclass(frozen=True)
class SlidingWindow:
    """Windows over texts that are longer than a sequence, each read and answered by itself.

    A text of no more tokens than fit is one window. In training each window has its row's label.
    Answers are one a row.

    Raises:
        ValueError: for a value that is not allowed.

    Example:
        >>> SlidingWindow(stride=0.8).bounds(40, capacity=18, length=20)
        [(0, 18), (16, 18), (32, 8)]

    Reference:
        Simple Transformers' `sliding_window`, whose windows these are.
    """

    text: str | None = knob(
        None,
        _TEXT,
        "The text column that slides, where a row has two; the other is in every window, cut to "
        "half of what fits at most.",
    )
    stride: float = knob(
        0.8,
        STRIDE,
        "How far a window begins behind the one before: a part of the sequence, or a number of "
        "tokens. 1.0 is windows without overlap.",
    )
    vote: str = knob(
        "mean",
        one_of("mean", "majority"),
        "How a row is answered: by the mean of its windows' probabilities; or, for classes, by the "
        "majority of their answers, whose shares, with one more vote that is the mean, are then "
        "the probabilities. Labels, and numbers, of which a row has several, are always averaged.",
    )
    tie_value: Any = knob(
        None,
        instance("a label", str, Real),
        "The label that a row gets where the first two of a majority have as many windows; by "
        "default that of them which is more probable on average.",
    )
    weigh_by: str = knob(
        "row",
        one_of("row", "window"),
        'What counts alike in training: each `"row"`, so that the windows of a long text count '
        'in all what a short one counts, or each `"window"`.',
    )

    def __post_init__(self):
        for name, value in vars(self).items():
            if hasattr(value, "item"):  # NumPy's
                object.__setattr__(self, name, value.item())
        check_knobs(self)

    def bounds(self, num_tokens: int, *, capacity: int, length: int) -> list[tuple[int, int]]:
        """Start and length of the windows of a text.

        Args:
            num_tokens: Tokens of the text, none of them special.
            capacity: Tokens that fit, >= 1.
            length: Tokens that fit and the special tokens around a single text; a fractional
                `stride` is a fraction of it.

        Returns:
            First token and number of tokens of each window.
        """
        if num_tokens <= capacity:
            return [(0, num_tokens)]
        step = int(length * self.stride) if isinstance(self.stride, float) else self.stride
        starts = range(0, num_tokens, max(1, min(step, capacity)))
        return [(start, min(capacity, num_tokens - start)) for start in starts]

    def by_slot(self, texts: Sequence[str]) -> SlidingWindow:
        """The window with its text named by its place, as `text_1`, instead of by its column.

        Args:
            texts: The text columns, in order.

        Returns:
            The window.
        """
        if self.text is None:
            return self
        return replace(self, text=f"text_{list(texts).index(self.text) + 1}")

    def tie_index(self, names: Iterable[Any]) -> int | None:
        """The place of `tie_value` among the label names of a head.

        Args:
            names: Label names in order.

        Returns:
            The place; `None` if it is not one of them, or there is no `tie_value`.

        Example:
            >>> SlidingWindow(tie_value=1).tie_index(("0", "1"))
            1
        """
        return None if self.tie_value is None else place_finder(names)(self.tie_value)


RULES = rules(SlidingWindow)


def as_sliding_window(value: SlidingWindow | Mapping | bool | None) -> SlidingWindow | None:
    """A `SlidingWindow` in one form.

    Args:
        value: A window; `True` for the default one; a mapping of its fields; `False` or `None`.

    Returns:
        The window; `None` for no window.

    Raises:
        ValueError: if it is none of these, has an unknown field, or a value is not allowed.
    """
    if value is None or value is False:
        return None
    if value is True:
        return SlidingWindow()
    if isinstance(value, SlidingWindow):
        return value
    if not isinstance(value, Mapping):
        raise InvalidValueError(
            "`sliding_window` must be a keras_mm.SlidingWindow, a dict of its fields, or a bool. "
            f"Received: sliding_window={value!r}"
        )
    for name in value:
        if name not in RULES:
            raise InvalidValueError(unknown_name("sliding_window", name, RULES))
    return SlidingWindow(**value)
