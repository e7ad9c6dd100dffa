import numpy as np
import pytest


@pytest.fixture(scope="session")
def drawn():
    """Labels drawn from probabilities, and the logits of a model that is twice as sure."""

    def draw(num_rows, num_classes=5, seed=0, sharpness=2.0):
        generator = np.random.default_rng(seed)
        logits = generator.normal(0, 2, (num_rows, num_classes))
        logits[:, 0] += 1.5  # a frequent class
        shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        labels = (shares.cumsum(axis=1) < generator.random((num_rows, 1))).sum(axis=1)
        return labels, logits * sharpness

    return draw
