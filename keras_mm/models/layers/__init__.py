"""Keras layers before, between and after the encoders."""
