"""Answers of a trained model: rows to logits, by head."""
