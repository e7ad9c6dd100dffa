"""The pooled vectors of a model's encoders, as features of linear models."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from keras_mm.data.tables.rows import Rows
from keras_mm.features.encode import encode_rows
from keras_mm.features.table import FeatureTable
from keras_mm.inference.predictor import Predictor
from keras_mm.keras_internals import all_layers
from keras_mm.models.layers.comparison import PairComparison
from keras_mm.models.multimodal import parts
from keras_mm.models.trunk import MASKS

_MARGIN = 1e-3  # as in Keras' layer normalisation


class PooledFeatures:
    """Computes pooled vectors of training rows and of rows to predict, each side once.

    Args:
        predictor: The predictor of a model.
        rows: Training rows.
        test: The rows to predict.
        known: Features of `test`, as `Predictor.features` returned them.

    Attributes:
        sides: The sides that have an encoder, of `"vision"` and `"text"`. The text network of MMBT
            is a part of the trunk.
        trained: Those of these sides whose encoder is trained with the model.
    """

    def __init__(
        self,
        predictor: Predictor,
        rows: Rows,
        test: Rows,
        known: Mapping[str, FeatureTable],
    ):
        self._predictor = predictor
        self._tables: tuple[tuple[Rows, Mapping[str, FeatureTable]], ...] = (
            (rows, {}),
            (test, known),
        )
        self._encoders, trunk = parts(predictor.model)
        self._compares = any(isinstance(layer, PairComparison) for layer in all_layers(trunk))
        self._of_side: dict[str, tuple[np.ndarray, ...]] = {}
        self.sides = tuple(self._encoders)
        self.trained = {s for s, encoder in self._encoders.items() if encoder.trainable_variables}

    def __call__(self, sides: Collection[str]) -> tuple[np.ndarray, ...]:
        """Joins the vectors and masks of sides to one vector for each row.

        If the model compares the images or texts of a pair, so do these features, as in
        `keras_mm.models.layers.comparison.PairComparison`.

        Args:
            sides: Some of `sides`.

        Returns:
            Features of the training rows and of the rows to predict, float32
            `(num_rows, num_features)`. Those of missing images and texts are 0.
        """
        for side in sides:
            if side not in self._of_side:
                self._of_side[side] = tuple(self._encode(side, *table) for table in self._tables)
        parts_of_rows = zip(*(self._of_side[side] for side in sides), strict=True)
        return tuple(np.concatenate(columns, axis=1) for columns in parts_of_rows)

    def _encode(self, side: str, rows: Rows, known: Mapping[str, FeatureTable]) -> np.ndarray:
        predictor, name = self._predictor, f"{side}_pooled_output"
        windows, window_rows = predictor.preprocessor.windows(rows)
        if window_rows is not None or name not in known:
            known = encode_rows(
                {side: self._encoders[side]},
                windows,
                predictor.preprocessor,
                store=predictor.store,
                engine=predictor.engine,
                progress=predictor.progress,
            )
        vectors = np.asarray(known[name], "float32")
        if window_rows is not None:
            vectors = _means(vectors, window_rows, len(rows))
        pair = self._compares and vectors.shape[1] == 2
        joined = _compared(vectors) if pair else vectors.reshape(len(rows), -1)
        mask = predictor.preprocessor.masks(rows)[MASKS[side]]
        return np.concatenate([joined, mask.astype("float32")], axis=1)


def _compared(pair: np.ndarray) -> np.ndarray:
    """`[u, v, u - v, |u - v|, u * v]` of the normalised vectors of pairs `(num_rows, 2, width)`."""
    centred = pair - pair.mean(axis=-1, keepdims=True)
    u, v = np.moveaxis(centred / np.sqrt(pair.var(axis=-1, keepdims=True) + _MARGIN), 1, 0)
    return np.concatenate([u, v, u - v, np.abs(u - v), u * v], axis=1)


def _means(windows: np.ndarray, window_rows: np.ndarray, num_rows: int) -> np.ndarray:
    """The mean over the windows of each row, which follow each other."""
    starts = np.searchsorted(window_rows, np.arange(num_rows))
    counts = np.bincount(window_rows, minlength=num_rows).astype("float32")
    return np.add.reduceat(windows, starts, axis=0) / counts[:, None, None]
