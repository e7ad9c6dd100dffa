"""Metrics on arrays: no backend is loaded here."""

from keras_mm.metrics.bootstrap import Difference, bootstrap_difference, bootstrap_interval
from keras_mm.metrics.classification import classification_metrics, majority_baseline
from keras_mm.metrics.head_metrics import head_metrics
from keras_mm.metrics.intervals import effective_rows, wilson_interval
from keras_mm.metrics.multilabel import frequency_baseline, multilabel_metrics, tune_thresholds
from keras_mm.metrics.probability_errors import expected_calibration_error
from keras_mm.metrics.regression import mean_baseline, regression_metrics
from keras_mm.metrics.significance import McNemar, corrected_t_test, holm, mcnemar

__all__ = [
    "Difference",
    "McNemar",
    "bootstrap_difference",
    "bootstrap_interval",
    "classification_metrics",
    "corrected_t_test",
    "effective_rows",
    "expected_calibration_error",
    "frequency_baseline",
    "head_metrics",
    "holm",
    "majority_baseline",
    "mcnemar",
    "mean_baseline",
    "multilabel_metrics",
    "regression_metrics",
    "tune_thresholds",
    "wilson_interval",
]
