"""The settings of windows over long texts, as plain data. Loads no backend."""

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
    """Cuts texts that are longer than a sequence into overlapping windows.

    The model predicts each window separately, and the predictions of a row's windows are joined to
    one. In training, each window has the label of its row. A text that fits is one window.

    Raises:
        ValueError: for a value outside its range.

    Example:
        >>> SlidingWindow(stride=0.8).bounds(40, capacity=18, length=20)
        [(0, 18), (16, 18), (32, 8)]

    Reference:
        Simple Transformers' `sliding_window`, which cuts the same windows.
    """

    text: str | None = knob(
        None,
        _TEXT,
        "Text column that is cut into windows, if a row has two texts. The other text is part of "
        "each window, truncated to at most half of the available tokens.",
    )
    stride: float = knob(
        0.8,
        STRIDE,
        "Distance between the starts of two windows: a fraction of the sequence, or a number of "
        "tokens. 1.0 gives windows without overlap.",
    )
    vote: str = knob(
        "mean",
        one_of("mean", "majority"),
        'How the predictions of windows are joined. `"mean"` averages their probabilities. '
        '`"majority"`, for multiclass and binary heads, takes the class that most windows predict; '
        "the probabilities are then the classes' shares of the windows, where the mean "
        "probabilities count as one more window. Multilabel and regression heads always use the "
        "mean.",
    )
    tie_value: Any = knob(
        None,
        instance("a label", str, Real),
        "Label of a row in which several classes have the most windows; by default the class of "
        "these with the highest mean probability.",
    )
    weigh_by: str = knob(
        "row",
        one_of("row", "window"),
        'What has equal weight in training: each `"row"`, whose weight its windows share, or each '
        '`"window"`, so that long texts count more.',
    )

    def __post_init__(self):
        for name, value in vars(self).items():
            if hasattr(value, "item"):  # a NumPy scalar, which JSON cannot store
                object.__setattr__(self, name, value.item())
        check_knobs(self)

    def bounds(self, num_tokens: int, *, capacity: int, length: int) -> list[tuple[int, int]]:
        """Start and length of the windows of a text.

        Args:
            num_tokens: Number of tokens of the text, without special tokens.
            capacity: Number of the text's tokens that fit into one window, >= 1.
            length: `capacity` plus the special tokens around a single text; a fractional `stride`
                is a fraction of it.

        Returns:
            First token and number of tokens of each window.
        """
        if num_tokens <= capacity:
            return [(0, num_tokens)]
        step = int(length * self.stride) if isinstance(self.stride, float) else self.stride
        starts = range(0, num_tokens, max(1, min(step, capacity)))
        return [(start, min(capacity, num_tokens - start)) for start in starts]

    def by_slot(self, texts: Sequence[str]) -> SlidingWindow:
        """Names the text by its position, such as `text_1`, instead of by its column.

        A saved model knows positions only: other tables may name their columns differently.

        Args:
            texts: The text columns, in order.

        Returns:
            The settings with the new name.
        """
        if self.text is None:
            return self
        return replace(self, text=f"text_{list(texts).index(self.text) + 1}")

    def tie_index(self, names: Iterable[Any]) -> int | None:
        """The position of `tie_value` among the label names of a head.

        Args:
            names: Label names in order.

        Returns:
            The position; `None` if it is not one of them, or there is no `tie_value`.

        Example:
            >>> SlidingWindow(tie_value=1).tie_index(("0", "1"))
            1
        """
        return None if self.tie_value is None else place_finder(names)(self.tie_value)


RULES = rules(SlidingWindow)


def as_sliding_window(value: SlidingWindow | Mapping | bool | None) -> SlidingWindow | None:
    """Converts the forms that users may pass to a `SlidingWindow`.

    Args:
        value: A `SlidingWindow`; `True` for the defaults; a mapping of its fields; `False` or
            `None` for no windows.

    Returns:
        The settings; `None` for no windows.

    Raises:
        ValueError: if the type is another, a field is unknown, or a value is out of range.
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
