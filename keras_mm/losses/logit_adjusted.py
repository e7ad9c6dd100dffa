"""Logit-adjusted cross-entropy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mm.checks import is_number
from keras_mm.errors import InvalidValueError
from keras_mm.losses.base import WeightedLoss
from keras_mm.losses.class_weights import per_class_mistakes


@keras.saving.register_keras_serializable("keras_mm")
class LogitAdjusted(WeightedLoss):
    """Cross-entropy on logits shifted by the log frequency of each class.

    `LA = -w_y log softmax(z + tau log prior)_y`. Only the loss applies the shift: the model
    predicts with `z`, which does not contain the class imbalance of the training rows. With `tau`
    1, the argmax of `z` maximises the balanced accuracy, and its softmax estimates the
    probabilities for equally frequent classes. Class weights also correct the imbalance; using
    both corrects it twice.

    A class without training rows has no log frequency. It is shifted like the most frequent class,
    so that training lowers its logit at least as much as cross-entropy does. With a lower shift,
    the model could predict a class that it has never seen.

    Args:
        class_counts: Training rows of each class, shape `(num_classes,)`; two for a binary head.
            Only their ratios matter.
        tau: Strength of the shift, >= 0. 0 gives (weighted) cross-entropy.
        class_weight: Optional floats >= 0, shape `(num_classes,)`.
        label_smoothing: Share of the target spread evenly over all classes, in `[0, 1)`.
        name: Name in logs.

    Call arguments:
        y_true: Integer labels, shape `(batch,)` or `(batch, 1)`; negative means no label.
        y_pred: Logits, shape `(batch, num_classes)`, or `(batch, 1)` for a binary head, which is
            shifted like the two logits `(0, z)`.
        sample_weight: Optional floats, shape `(batch,)` or `(batch, 1)`.

    Call returns:
        Scalar: weighted mean over the rows that have a label, in nats.

    Attributes:
        shift: Added to the logits: `tau log prior`, shape `(num_classes,)`.

    Raises:
        ValueError: if `tau < 0`, a count or a weight is negative or not finite, all counts are 0,
            or the smoothing is outside `[0, 1)`; when called, if the counts do not fit the logits.

    Example:
        >>> loss = LogitAdjusted(class_counts=[3, 1])
        >>> [round(float(loss([label], [[0.0, 0.0]])), 6) for label in (0, 1)]
        [0.287682, 1.386294]

    Reference:
        Menon et al. 2021, "Long-tail learning via logit adjustment", arXiv:2007.07314, eq. 10.
    """

    def __init__(
        self,
        class_counts: Sequence[float],
        tau: float = 1.0,
        class_weight: Sequence[float] | None = None,
        label_smoothing: float = 0.0,
        name: str = "logit_adjusted",
    ):
        self.class_counts, self.tau = class_counts, tau
        super().__init__(class_weight, label_smoothing, name)
        self.class_counts = [float(count) for count in class_counts]
        self.shift = tau * _log_priors(np.asarray(self.class_counts))

    def _mistakes(self) -> list[str]:
        mistakes = super()._mistakes() + self._count_mistakes(None)
        if not (is_number(self.tau) and self.tau >= 0):
            mistakes.append(
                "`tau` must be a finite number >= 0; 1 is usual, 0 gives cross-entropy. "
                f"Received: tau={self.tau!r}"
            )
        return mistakes

    def _count_mistakes(self, num_classes: int | None) -> list[str]:
        mistakes = per_class_mistakes(
            "class_counts",
            self.class_counts,
            num_classes,
            source="`np.bincount(labels, minlength=num_classes)` counts the training rows",
            zero="0 is a class without training rows",
        )
        if not mistakes and not np.any(self.class_counts):
            mistakes.append(
                "`class_counts` must have a count above 0. "
                f"Received: class_counts={self.class_counts!r}"
            )
        return mistakes

    def class_losses(self, log_probabilities: Any) -> Any:
        """`-log softmax(z + tau log prior)_c` of every class; see `WeightedLoss.class_losses`."""
        mistakes = self._count_mistakes(log_probabilities.shape[-1])
        if mistakes:
            raise InvalidValueError("\n".join(mistakes))
        # Log-probabilities differ from the logits by a constant per row, which softmax ignores.
        shift = ops.convert_to_tensor(self.shift, dtype="float32")
        return -ops.log_softmax(log_probabilities + shift, axis=-1)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "class_counts": self.class_counts, "tau": self.tau}


def _log_priors(counts: np.ndarray) -> np.ndarray:
    """Log frequency of each class; the largest one for a class without rows."""
    return np.log(np.where(counts > 0, counts, counts.max()) / counts.sum())
