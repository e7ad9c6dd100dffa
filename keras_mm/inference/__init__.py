"""Predictions of a trained model: from rows to logits by head."""
