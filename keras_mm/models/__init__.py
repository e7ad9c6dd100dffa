"""Encoders, fusion and heads, as functional Keras models."""
