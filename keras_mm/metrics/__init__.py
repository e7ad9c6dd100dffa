"""Metrics on arrays: no backend is loaded here."""

from keras_mm.metrics.classification import classification_metrics, majority_baseline
from keras_mm.metrics.head_metrics import head_metrics
from keras_mm.metrics.intervals import effective_rows, wilson_interval
from keras_mm.metrics.multilabel import frequency_baseline, multilabel_metrics, tune_thresholds
from keras_mm.metrics.regression import mean_baseline, regression_metrics

__all__ = [
    "classification_metrics",
    "effective_rows",
    "frequency_baseline",
    "head_metrics",
    "majority_baseline",
    "mean_baseline",
    "multilabel_metrics",
    "regression_metrics",
    "tune_thresholds",
    "wilson_interval",
]
