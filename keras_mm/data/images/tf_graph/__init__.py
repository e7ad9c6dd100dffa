"""Images decoded inside a TensorFlow graph, for exported models."""
