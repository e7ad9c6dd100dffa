"""Computes logits of rows: the encoders, then the trunk."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_mm.data.preprocessor import Preprocessor
from keras_mm.data.tables.rows import Rows
from keras_mm.features.encode import BATCH_ITEMS, encode_rows, wanted_outputs
from keras_mm.features.engines.choice import choose_engine
from keras_mm.features.engines.keras_network import full_batches, precision_of, predict_batch
from keras_mm.features.items import LONGEST, shortened
from keras_mm.features.store.store import FeatureStore
from keras_mm.features.table import FeatureTable
from keras_mm.models.multimodal import input_names, parts

# Largest number of bytes of features in memory during a prediction.
_AT_ONCE = 2**28


def predict_logits(
    model: keras.Model,
    rows: Rows,
    preprocessor: Preprocessor,
    *,
    features: Mapping[str, FeatureTable | np.ndarray] | None = None,
    batch_size: int = 32,
    store: FeatureStore | None = None,
    engine: str = "auto",
    always_cache: bool = False,
    progress: bool = True,
) -> Any:
    """Computes the logits of rows: the encoders, then the trunk.

    If Keras runs the encoders in float32, a single row goes through the whole model in one call,
    padded to its bucket only. Many rows are encoded and predicted in parts, so that their features
    fit into memory.

    Args:
        model: A model of `create_multimodal_model`.
        rows: Checked rows.
        preprocessor: Makes the encoders' inputs.
        features: The result of `encode_rows` for these rows, if it was called already. Missing
            cells are masked, so the features of a row can also be used after cells were removed.
        batch_size: Rows per batch, >= 1.
        store: As in `encode_rows`.
        engine: As in `encode_rows`.
        always_cache: As in `encode_rows`.
        progress: As in `encode_rows`.

    Returns:
        float32 `(num_rows, num_logits)`; with several heads a dict of them by head.
    """
    encoders, trunk = parts(model)
    if len(rows) == 1 and features is None and _is_plain(encoders, engine, store):
        outputs = predict_batch(model, shortened(preprocessor(rows), model))
        return keras.tree.map_structure(np.asarray, outputs)
    names = input_names(trunk)
    size = len(rows) if features is not None else _rows_at_once(encoders, names, len(rows))
    logits = []
    for start in range(0, len(rows), size):
        part = rows if size >= len(rows) else rows.take(range(start, min(start + size, len(rows))))
        known = features
        if known is None:
            known = encode_rows(
                encoders,
                part,
                preprocessor,
                names=names,
                store=store,
                engine=engine,
                always_cache=always_cache or size < len(rows),
                progress=progress,
            )
        inputs = {**known, **preprocessor.without_images(part, names)}
        inputs = {name: inputs[name] for name in names}
        logits.append(_in_batches(trunk, inputs, len(part), batch_size))
    return _joined(logits)


def _is_plain(encoders: Mapping, engine: str, store: FeatureStore | None) -> bool:
    """Whether Keras runs all encoders, in float32."""
    return all(
        choose_engine(encoder, engine, store) == "keras" and precision_of(encoder) == "float32"
        for encoder in encoders.values()
    )


def _rows_at_once(encoders: Mapping[str, keras.Model], names: Sequence[str], num_rows: int) -> int:
    """Number of rows whose features fit into `_AT_ONCE` bytes: all, or an equal share of them."""
    row = sum(
        4 * math.prod(size or LONGEST for size in encoder.output[name].shape[1:])
        for side, encoder in encoders.items()
        for name in wanted_outputs(side, encoder, names)
    )
    shares = math.ceil(num_rows * row / _AT_ONCE)
    return max(BATCH_ITEMS, math.ceil(num_rows / max(shares, 1)))


def _in_batches(model: keras.Model, inputs: dict, num_rows: int, batch_size: int) -> Any:
    """Runs a model over arrays; every batch is filled up to the same size."""
    batch_size = 1 if num_rows == 1 else batch_size
    results = []
    for positions, count in full_batches(np.arange(num_rows), batch_size):
        outputs = predict_batch(model, {name: x[positions] for name, x in inputs.items()})
        results.append(keras.tree.map_structure(lambda x, n=count: np.asarray(x)[:n], outputs))
    return _joined(results)


def _joined(parts: Sequence) -> Any:
    """Concatenates arrays, or dicts of arrays."""
    return keras.tree.map_structure(lambda *arrays: np.concatenate(arrays), *parts)
