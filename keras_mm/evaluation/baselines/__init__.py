"""Baselines: predictors that a model is compared with, trained on the same rows."""
