"""Experiments on a table: many trainings, compared on the same folds."""
