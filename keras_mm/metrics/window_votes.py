"""One prediction per row from the predictions of its text windows, in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_mm.metrics.probabilities import probabilities

_SMALLEST = 1e-12  # smallest probability, so that its logarithm is finite


def join_windows(
    logits: np.ndarray,
    window_rows: np.ndarray,
    kind: str,
    *,
    vote: str = "mean",
    tie: int | None = None,
) -> np.ndarray:
    """Logits of rows from the logits of their windows.

    Args:
        logits: Floats, shape `(num_windows, num_logits)`.
        window_rows: Index of each window's row, ascending, shape `(num_windows,)`.
        kind: Kind of the head.
        vote: `"mean"` averages probabilities, or numbers. `"majority"`, for classes only, takes
            each class's share of the windows' predictions; the mean probabilities count as one
            more window, so that no class has probability 0.
        tie: Index of the class that wins when classes have equally many windows; `None` lets the
            class with the higher mean probability win.

    Returns:
        float32, shape `(num_rows, num_logits)`. The logits of a row with one window are unchanged.

    Example:
        >>> logits = np.array([[4.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
        >>> join_windows(logits, np.array([0, 0, 0]), "multiclass", vote="majority").argmax(axis=1)
        array([1])
    """
    counts = np.bincount(window_rows)
    single = counts[window_rows] == 1
    found = np.zeros((len(counts), logits.shape[1]), "float32")
    found[window_rows[single]] = logits[single]
    rows = np.flatnonzero(counts > 1)
    if not len(rows):
        return found
    several = ~single
    places = np.searchsorted(rows, window_rows[several])
    answers = np.asarray(logits[several], "float64")
    if kind != "regression":
        answers = probabilities(answers, kind)
    mean = _mean(answers, places, len(rows))
    if kind == "regression":
        found[rows] = mean
        return found
    if vote == "majority" and kind != "multilabel":
        mean = _shares(answers, mean, places, tie)
    mean = np.clip(mean, _SMALLEST, 1 - _SMALLEST)
    found[rows] = np.log(mean) - np.log1p(-mean) if kind == "multilabel" else _logits(mean, kind)
    return found


def _mean(values: np.ndarray, places: np.ndarray, num_rows: int) -> np.ndarray:
    sums = np.zeros((num_rows, values.shape[1]))
    np.add.at(sums, places, values)
    return sums / np.bincount(places)[:, None]


def _shares(found: np.ndarray, mean: np.ndarray, places: np.ndarray, tie: int | None) -> np.ndarray:
    """Share of the windows that predict each class, slightly raised for the class that wins."""
    votes = _marked(found.argmax(axis=1), found.shape[1])
    shares = _mean(votes, places, len(mean))
    tied = np.isclose(shares, shares.max(axis=1, keepdims=True))
    winner = np.where(tied, mean, -1).argmax(axis=1)
    if tie is not None:
        winner = np.where(tied.sum(axis=1) > 1, tie, winner)
    counts = np.bincount(places)[:, None]
    shares = (counts * shares + mean) / (counts + 1)
    # `tie` may be a class that no window predicts.
    chosen = _marked(winner, found.shape[1]) > 0
    raised = np.where(chosen, shares.max(axis=1, keepdims=True) + 1e-4, shares)
    return raised / raised.sum(axis=1, keepdims=True)


def _marked(places: np.ndarray, width: int) -> np.ndarray:
    """One-hot rows, shape `(num_rows, width)`."""
    marks = np.zeros((len(places), width))
    marks[np.arange(len(places)), places] = 1
    return marks


def _logits(found: np.ndarray, kind: str) -> Any:
    logarithms = np.log(found)
    return logarithms[:, 1:] - logarithms[:, :1] if kind == "binary" else logarithms
