"""Logits of labelled rows that a model was not trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class HeldOut:
    """Logits of labelled rows that the weights were not trained on; decisions are fitted on them.

    Attributes:
        source: `"out_of_fold"`: each row was predicted by the model of the fold that left it out,
            and no row decided anything; `"validation"`: the rows chose the epoch; or `"rows"`:
            rows that the user passed.
        numbers: The rows in the index of the training table.
        labels: Encoded labels by head, as in `keras_mm.data.tables.rows.Rows`.
        logits: float32, shape `(num_rows, num_logits)`, by head.
        sample_weight: Weights of the rows, float64 `(num_rows,)`; `None` if all rows count 1.
        fold: For out-of-fold rows the number of the fold that left the row out, from 1, int64
            `(num_rows,)`.
        groups: For grouped folds the number of each row's group, int64 `(num_rows,)`.
        second: For out-of-fold rows logits by head of a second model that was not trained on the
            row, but chose its epoch by it; NaN where there is none.
        num_members: Number of models whose mean predicts new rows.
    """

    source: str
    numbers: pd.Index
    labels: Mapping[str, np.ndarray]
    logits: Mapping[str, np.ndarray]
    sample_weight: np.ndarray | None = None
    fold: np.ndarray | None = None
    groups: np.ndarray | None = None
    second: Mapping[str, np.ndarray] = field(default_factory=dict)
    num_members: int = 1

    def __len__(self) -> int:
        return len(self.numbers)
