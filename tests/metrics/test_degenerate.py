"""Rows that leave scores undefined: plain JSON values without NaN, and no warning."""

import json
import warnings

import numpy as np
import pytest

from keras_mm.metrics.head_metrics import head_metrics
from keras_mm.settings.heads import Head

pytestmark = pytest.mark.backend_free

HEADS = {
    "multiclass": Head(classes=("a", "b", "c")),
    "binary": Head("binary", ("no", "yes")),
    "multilabel": Head("multilabel", ("x", "y")),
    "regression": Head("regression", ("stars",)),
}


def labels_of(kind, num_rows):
    codes = np.arange(num_rows) % 2  # no row has the last of three classes
    if kind == "multilabel":
        return np.stack([codes, 1 - codes], axis=1)
    return 1.0 * codes[:, None] if kind == "regression" else codes


def perfect_logits(kind, labels):
    if kind == "multiclass":
        return 99.0 * np.eye(3)[labels]
    columns = labels.reshape(len(labels), -1)
    return columns if kind == "regression" else 99.0 * (2 * columns - 1)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("case", ["one row", "constant", "perfect", "one class", "one counts"])
@pytest.mark.parametrize("kind", HEADS)
def test_undefined_scores_are_left_out(kind, case, weighted):
    head, num_rows = HEADS[kind], 1 if case == "one row" else 9
    labels = labels_of(kind, num_rows) * (case != "one class")
    logits = np.full((num_rows, head.num_logits), 0.25)
    if case == "perfect":
        logits = perfect_logits(kind, labels)
    weights = np.linspace(1, 2, num_rows) if weighted else None
    if case == "one counts":
        weights = np.eye(num_rows)[0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = head_metrics(head, labels, logits, sample_weight=weights, intervals=True)
    json.dumps(found, allow_nan=False)
    if case in ("one row", "one counts"):
        name = "r2_interval" if kind == "regression" else "macro_f1_interval"
        assert found["num_rows"] == 1 and name not in found
