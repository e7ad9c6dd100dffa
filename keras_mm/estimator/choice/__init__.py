"""Chooses the members of a model for a table, by trying many of them on its folds."""
