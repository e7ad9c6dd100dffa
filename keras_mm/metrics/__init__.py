"""Metrics on arrays: no backend is loaded here."""

from keras_mm.metrics.classification import classification_metrics, majority_baseline
from keras_mm.metrics.intervals import wilson_interval

__all__ = ["classification_metrics", "majority_baseline", "wilson_interval"]
