"""Arrays as a dataset of batches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_mm.data.dataset import RowBatches
from keras_mm.errors import InvalidValueError


def as_dataset(data: Any, batch_size: int, **options: Any) -> Any:
    """A dataset of batches from arrays; a dataset as it is.

    Args:
        data: `(inputs, labels)`, each an array or a dict of arrays, or `(inputs, labels, weights)`
            with a weight per row; or a dataset.
        batch_size: Rows of a batch, for arrays.
        **options: Of `RowBatches`, for arrays.

    Returns:
        Batches of `(inputs, labels)`, or with weights, in the form of the arrays.

    Raises:
        ValueError: for a tuple of another length, or wrong weights.
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
    labels = np.asarray(labels)
    return labels.astype("int32") if labels.dtype == bool else labels


class _Bare(keras.utils.PyDataset):
    """Batches of a single unnamed array."""

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
