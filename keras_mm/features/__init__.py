"""Frozen encoders run once: features of rows, computed by the encoding engine."""
