"""Decisions on top of probabilities: fitted on held-out rows, in NumPy, saved with the model."""
