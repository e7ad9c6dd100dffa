"""Sets what new models take from their training rows before they are trained: means and scales."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import keras
import numpy as np

from keras_mm.data.preprocessor import Preprocessor
from keras_mm.data.tables.rows import Rows
from keras_mm.features.table import FeatureTable
from keras_mm.models.layers.scaling import standardize_targets
from keras_mm.models.layers.standardization import standardizations
from keras_mm.models.multimodal import parts
from keras_mm.models.trunk import MASKS
from keras_mm.settings.heads import Head

_MOST_ROWS = 20_000  # more rows hardly change means and deviations


def standardize(networks: Collection[keras.Model], heads: Mapping[str, Head], rows: Rows) -> None:
    """Sets mean and scale of the targets of regression heads, which learn standardised targets.

    Args:
        networks: Models, which are changed in place.
        heads: Heads by name.
        rows: The training rows.
    """
    for name, head in heads.items():
        if head.kind == "regression":
            for network in networks:
                standardize_targets(network, name, rows.labels[name], rows.sample_weight)


def standardize_features(
    networks: Collection[keras.Model],
    rows: Rows,
    preprocessor: Preprocessor,
    features: Mapping[str, FeatureTable],
) -> None:
    """Sets mean and scale of the encoders' vectors, which the trunks standardise.

    Args:
        networks: Models with equal layers, which are changed in place.
        rows: The training rows; with a sliding window, their windows.
        preprocessor: Says which images and texts are missing; these are left out.
        features: The features of the rows by the trunk's input names. Vectors of other encoders,
            which are trained, are not standardised.
    """
    masks = preprocessor.masks(rows)
    chosen = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), _MOST_ROWS)).astype(int))
    for side in standardizations(parts(next(iter(networks))).trunk):
        name = f"{side}_pooled_output"
        if name not in features:
            continue
        vectors, present = np.asarray(features[name][chosen]), masks[MASKS[side]][chosen]
        if present.shape[1] != vectors.shape[1]:  # several texts in one sequence
            present = present.any(axis=1, keepdims=True)
        if present.any():
            for network in networks:
                standardizations(parts(network).trunk)[side].set_statistics(vectors[present])
