"""The baseline that is linear in the encoders' vectors."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from keras_mm.data.tables.rows import Rows
from keras_mm.evaluation.baselines.head_model import linear_model
from keras_mm.evaluation.baselines.selection import Candidate, Chosen, predict_best
from keras_mm.settings.heads import Head

# Of standardised features. The loss is a sum over rows, so more rows need no other values.
_PENALTIES = (1000.0, 100.0, 10.0, 1.0)


# Small models are slower on several threads, and take seconds if the cores are busy.
@threadpool_limits.wrap(limits=1)
def predict_linear(
    rows: Mapping[str, Rows],
    features: np.ndarray,
    test_features: np.ndarray,
    heads: Mapping[str, Head],
    *,
    seed: int = 0,
) -> dict[str, Chosen]:
    """Trains and applies logistic (or ridge) regression; the regularisation is chosen.

    Args:
        rows: Training rows for each head; they differ in weights.
        features: Features of the training rows, float32 `(num_rows, num_features)`. To save memory,
            they are standardised in place.
        test_features: Features of the rows to predict; standardised in place, too.
        heads: Heads by name.
        seed: Seed of the inner validation.

    Returns:
        The predictions for each head.
    """
    scaler = StandardScaler(copy=False).fit(features)
    scaled = [scaler.transform(values) for values in (features, test_features)]
    candidates = [
        Candidate(f"penalty {penalty:g}", linear_model(penalty), *scaled) for penalty in _PENALTIES
    ]
    return {
        name: predict_best(name, head, rows[name], candidates, seed=seed)
        for name, head in heads.items()
    }
