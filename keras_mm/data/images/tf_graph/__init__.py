"""Decodes images inside a TensorFlow graph, for exported models."""
