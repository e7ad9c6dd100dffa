"""Makes a dataset of batches from arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_mm.data.dataset import RowBatches
from keras_mm.errors import InvalidValueError


def as_dataset(data: Any, batch_size: int, **options: Any) -> Any:
    """Makes a dataset of batches from arrays; returns a dataset unchanged.

    Args:
        data: A tuple `(inputs, labels)` or `(inputs, labels, weights)`, or a dataset. Inputs and
            labels are each an array or a dict of arrays, first axis the rows; weights are numbers
            >= 0, shape `(num_rows,)`.
        batch_size: Rows of a batch, >= 1. Only for arrays.
        **options: Other arguments of `RowBatches`. Only for arrays.

    Returns:
        A dataset of `(inputs, labels)` batches, or of `(inputs, labels, weights)` batches; a batch
        has an array or a dict where `data` has one.

    Raises:
        ValueError: for a tuple of another length, or wrong weights.

    Example:
        >>> x, y = np.eye(3, dtype="float32"), np.array([0, 1, 1])
        >>> [batch_y.tolist() for _, batch_y in as_dataset((x, y), batch_size=2)]
        [[0, 1], [1]]
    """
    if not isinstance(data, tuple):
        return data
    if len(data) not in (2, 3):
        raise InvalidValueError(
            "A tuple of arrays must be (inputs, labels) or (inputs, labels, weights). "
            f"Received: {len(data)} values"
        )
    inputs, labels, weights = data if len(data) == 3 else (*data, None)
    arrays = inputs if isinstance(inputs, dict) else {"": np.asarray(inputs)}
    if isinstance(labels, Mapping):
        labels = {name: _numbers(values) for name, values in labels.items()}
    else:
        labels = _numbers(labels)
    dataset = RowBatches(
        arrays, labels=labels, sample_weight=weights, batch_size=batch_size, **options
    )
    return dataset if isinstance(inputs, dict) else _Bare(dataset)


def _numbers(labels: Any) -> np.ndarray:
    """Labels as an array; those that are bools as integers."""
    labels = np.asarray(labels)
    return labels.astype("int32") if labels.dtype == bool else labels


class _Bare(keras.utils.PyDataset):
    """Batches whose inputs are an array instead of a dict."""

    def __init__(self, dataset: RowBatches):
        super().__init__()
        self.dataset, self.labels = dataset, dataset.labels
        self.row_weights = dataset.row_weights

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple:
        inputs, *others = self.dataset[index]
        return inputs[""], *others

    def on_epoch_end(self) -> None:
        self.dataset.on_epoch_end()
