"""Joins the predictions of a row's text windows into one, with NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_mm.metrics.probabilities import probabilities

_SMALLEST = 1e-12  # lower bound of probabilities, so that their logarithms are finite


def join_windows(
    logits: np.ndarray,
    window_rows: np.ndarray,
    kind: str,
    *,
    vote: str = "mean",
    tie: int | None = None,
) -> np.ndarray:
    """Joins the logits of windows into logits of rows.

    Args:
        logits: Floats, shape `(num_windows, num_logits)`.
        window_rows: Index of each window's row, ascending, shape `(num_windows,)`.
        kind: Kind of the head.
        vote: `"mean"` averages the probabilities; for `"regression"` the numbers. `"majority"`
            applies to `"multiclass"` and `"binary"` only: the probability of a class is the share
            of the windows that predict it. The mean probabilities count as one more window, so
            that no class has probability 0.
        tie: Index of the class that wins a tie, that is, if several classes have the most windows;
            `None` lets the class with the highest mean probability win.

    Returns:
        float32, shape `(num_rows, num_logits)`. A row with one window keeps its logits.

    Example:
        >>> logits = np.array([[4.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
        >>> join_windows(logits, np.array([0, 0, 0]), "multiclass", vote="majority").argmax(axis=1)
        array([1])
    """
    counts = np.bincount(window_rows)
    single = counts[window_rows] == 1
    row_logits = np.zeros((len(counts), logits.shape[1]), "float32")
    row_logits[window_rows[single]] = logits[single]
    rows = np.flatnonzero(counts > 1)
    if not len(rows):
        return row_logits
    is_joined = ~single
    row_indices = np.searchsorted(rows, window_rows[is_joined])
    predicted = np.asarray(logits[is_joined], "float64")
    if kind != "regression":
        predicted = probabilities(predicted, kind)
    mean = _mean(predicted, row_indices, len(rows))
    if kind == "regression":
        row_logits[rows] = mean
        return row_logits
    if vote == "majority" and kind != "multilabel":
        mean = _shares(predicted, mean, row_indices, tie)
    mean = np.clip(mean, _SMALLEST, 1 - _SMALLEST)
    row_logits[rows] = (
        np.log(mean) - np.log1p(-mean) if kind == "multilabel" else _logits(mean, kind)
    )
    return row_logits


def _mean(values: np.ndarray, row_indices: np.ndarray, num_rows: int) -> np.ndarray:
    sums = np.zeros((num_rows, values.shape[1]))
    np.add.at(sums, row_indices, values)
    return sums / np.bincount(row_indices)[:, None]


def _shares(
    window_probabilities: np.ndarray, mean: np.ndarray, row_indices: np.ndarray, tie: int | None
) -> np.ndarray:
    """Share of the windows that predict each class, slightly raised for the class that wins."""
    votes = _marked(window_probabilities.argmax(axis=1), window_probabilities.shape[1])
    shares = _mean(votes, row_indices, len(mean))
    tied = np.isclose(shares, shares.max(axis=1, keepdims=True))
    winner = np.where(tied, mean, -1).argmax(axis=1)
    if tie is not None:
        winner = np.where(tied.sum(axis=1) > 1, tie, winner)
    counts = np.bincount(row_indices)[:, None]
    shares = (counts * shares + mean) / (counts + 1)  # `mean` counts as one more window
    # The winner gets the highest share, even if `tie` is a class that no window predicts.
    is_winner = _marked(winner, window_probabilities.shape[1]) > 0
    raised = np.where(is_winner, shares.max(axis=1, keepdims=True) + 1e-4, shares)
    return raised / raised.sum(axis=1, keepdims=True)


def _marked(columns: np.ndarray, width: int) -> np.ndarray:
    """One-hot rows, shape `(num_rows, width)`."""
    marks = np.zeros((len(columns), width))
    marks[np.arange(len(columns)), columns] = 1
    return marks


def _logits(values: np.ndarray, kind: str) -> Any:
    logarithms = np.log(values)
    return logarithms[:, 1:] - logarithms[:, :1] if kind == "binary" else logarithms
