"""A random walk over the public calls of `MultimodalClassifier`, and what must hold after each."""
