"""Evaluations that no model is needed for."""

import numpy as np
import pandas as pd

from keras_mm.data.tables.rows import Rows
from keras_mm.evaluation.beside_baselines import evaluate_beside
from keras_mm.evaluation.evaluate import Evaluation
from keras_mm.inference.answers import answer_frame
from keras_mm.metrics.head_metrics import head_prior
from keras_mm.settings.heads import Head


def made(head: Head, labels, logits, index=None, weights=None, name="label", **more) -> Evaluation:
    """What `evaluate` returns for rows with these labels and logits."""
    labels, logits = np.asarray(labels), np.asarray(logits, "float64")
    index = pd.RangeIndex(len(labels)) if index is None else pd.Index(index)
    rows = Rows((), (), {name: labels}, index, sample_weight=weights)
    frame = answer_frame({name: head}, {name: logits}, index, rows.labels)
    frame.insert(0, "row", index)
    if weights is not None:
        frame.insert(1, "sample_weight", weights)
    prior = head_prior(head, labels).tolist()
    result = evaluate_beside(name, head, rows, logits, prior, {}, {})
    return Evaluation({name: result}, frame, rows=rows, **more)


def logits_of(answers, num_classes, sure=2.0):
    """Logits of a model that answers this."""
    return np.eye(num_classes)[np.asarray(answers)] * sure
