"""Arrays as a dataset of batches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_mm.data.dataset import RowBatches


def as_dataset(data: Any, batch_size: int, **options: Any) -> Any:
    """A dataset of batches from arrays; a dataset as it is.

    Args:
        data: `(inputs, labels)`, each an array or a dict of arrays; or a dataset.
        batch_size: Rows of a batch, for arrays.
        **options: Of `RowBatches`, for arrays.

    Returns:
        Batches of `(inputs, labels)`, in the form of the arrays.
    """
    if not isinstance(data, tuple):
        return data
    inputs, labels = data
    arrays = inputs if isinstance(inputs, dict) else {"": np.asarray(inputs)}
    if isinstance(labels, Mapping):
        labels = {name: _numbers(values) for name, values in labels.items()}
    else:
        labels = _numbers(labels)
    dataset = RowBatches(arrays, labels=labels, batch_size=batch_size, **options)
    return dataset if isinstance(inputs, dict) else _Bare(dataset)


def _numbers(labels: Any) -> np.ndarray:
    labels = np.asarray(labels)
    return labels.astype("int32") if labels.dtype == bool else labels


class _Bare(keras.utils.PyDataset):
    """Batches of a single unnamed array."""

    def __init__(self, dataset: RowBatches):
        super().__init__()
        self.dataset, self.labels = dataset, dataset.labels

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple:
        inputs, labels = self.dataset[index]
        return inputs[""], labels

    def on_epoch_end(self) -> None:
        self.dataset.on_epoch_end()
