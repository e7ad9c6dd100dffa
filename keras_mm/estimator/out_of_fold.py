"""The out-of-fold predictions of a trained model, as a table."""

from __future__ import annotations

import pandas as pd
from sklearn.exceptions import NotFittedError

from keras_mm.estimator.trained import Trained
from keras_mm.inference.answers import answer_frame


def out_of_fold_frame(trained: Trained) -> pd.DataFrame:
    """Makes a table of the out-of-fold predictions of the training rows.

    Args:
        trained: A model that was trained on several folds, and not loaded.

    Returns:
        A line for each training row, with its index: `fold`, the number of the fold that left it
        out, from 1; and `label`, `prediction` and `probability_<class>` as in `predict_frame`.

    Raises:
        NotFittedError: an AttributeError, if the model was trained without folds, or was loaded.
    """
    held_out = trained.held_out
    if held_out is None or held_out.source != "out_of_fold":
        raise NotFittedError(
            "There are no out-of-fold predictions: the model was trained without folds, continued, "
            "or loaded. Train it with folds=5; a run keeps them in out_of_fold.parquet."
        )
    frame = answer_frame(trained.heads, held_out.logits, held_out.numbers, held_out.labels)
    frame.insert(0, "fold", held_out.fold)
    return frame
