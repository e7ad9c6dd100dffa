"""Keras layers between the encoders and the heads, and before the encoders."""
