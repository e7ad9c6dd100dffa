"""Trains the baselines of a model on the rows that it was trained on, and applies them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from keras_mm.data.tables.rows import Rows
from keras_mm.evaluation.baselines.lexical import predict_lexical
from keras_mm.evaluation.baselines.linear import predict_linear
from keras_mm.evaluation.baselines.pooled_features import PooledFeatures
from keras_mm.evaluation.baselines.selection import Chosen
from keras_mm.features.table import FeatureTable
from keras_mm.inference.predictor import Predictor
from keras_mm.losses.class_weights import resolve_class_weight
from keras_mm.metrics.head_metrics import is_labelled
from keras_mm.progress import seconds
from keras_mm.settings.heads import Head

_MOST_ROWS = 20_000  # of more training rows a sample is used: limits time and memory
_MOST_OUTPUTS = 200  # heads with more classes, labels or targets are left out
_SIDES = {"image_only": "vision", "text_only": "text"}
_PROBES = {"linear": "linear_probe", "image_only": "image_probe", "text_only": "text_probe"}

_file_log = logging.getLogger("keras_mm.file")  # does not reach stderr

# From a side, "vision" or "text", to the predictions of a model of this side by head.
Alone = Callable[[str], Mapping[str, np.ndarray]]


@dataclass(frozen=True)
class TrainingRows:
    """The rows that baselines are trained on, and which baselines.

    Attributes:
        kinds: Names of `keras_mm.settings.baselines.BASELINES`.
        rows: Training rows with labels of the heads; they may have weights and groups.
        alone: Trains a model of one side like the model that is evaluated, and predicts the rows to
            evaluate.
        class_weight: Class weights of the training, see `keras_mm.losses.create_loss`; those of a
            head come first. Linear models and trees are trained with them, too.
        seed: Seed of all draws.
    """

    kinds: Collection[str]
    rows: Rows
    alone: Alone
    class_weight: Any = None
    seed: int = 0

    def of_head(self, name: str, head: Head, rows: Rows) -> Rows:
        """Multiplies the weights of rows by the class weights of a head of classes.

        Args:
            name: Name of the head.
            head: The head.
            rows: Some of the training rows, at least one with a label of the head.

        Returns:
            New rows; without class weights, or for another kind of head, the given ones.
        """
        labels = rows.labels[name]
        weight = self.class_weight if head.class_weight is None else head.class_weight
        if weight is None or head.kind not in ("multiclass", "binary"):
            return rows
        of_class = resolve_class_weight(
            weight, labels, head.names, sample_weight=rows.sample_weight
        )
        weights = np.where(labels < 0, 1.0, np.asarray(of_class)[labels])
        if rows.sample_weight is not None:
            weights = weights * rows.sample_weight
        return replace(rows, sample_weight=weights)


@dataclass(frozen=True)
class Rivals:
    """Trained baselines and their predictions of the rows to evaluate.

    Attributes:
        predictions: By name of the baseline, and of the head. The names are those of the kinds; but
            `linear_probe`, `image_probe` and `text_probe` for linear models on the vectors of an
            encoder that was trained with the model.
        notes: Sentences on heads that were left out, and on sampled training rows.
    """

    predictions: dict[str, dict[str, Chosen]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def train_rivals(
    training: TrainingRows,
    predictor: Predictor,
    test: Rows,
    heads: Mapping[str, Head],
    features: Mapping[str, FeatureTable],
) -> Rivals:
    """Trains baselines, and predicts rows with them.

    Baselines that the model has no inputs for are left out: `lexical` without texts, and single
    sides of a model that has only one.

    Args:
        training: The baselines and their training rows.
        predictor: The predictor of the model that is evaluated.
        test: The rows to evaluate.
        heads: The heads to evaluate, by name.
        features: Features of `test`, as `Predictor.features` returned them.

    Returns:
        The predictions of the baselines.
    """
    notes: list[str] = []
    rows, heads = _sample(training, notes), _fitting(heads, training.rows, notes)
    pooled = PooledFeatures(predictor, rows, test, features)
    of_heads = {name: training.of_head(name, head, rows) for name, head in heads.items()}
    rivals = Rivals(notes=notes)
    for kind in _possible(training.kinds, test, pooled.sides) if heads else ():
        begun = time.monotonic()
        _file_log.info("baseline %s is trained", kind)
        sides = pooled.sides if kind == "linear" else (_SIDES.get(kind, "text"),)
        if kind == "lexical":
            found = predict_lexical(of_heads, test, heads, seed=training.seed)
        elif kind in _SIDES and not pooled.trained.intersection(sides):
            found = {n: Chosen("", values) for n, values in training.alone(*sides).items()}
        else:
            found = predict_linear(of_heads, *pooled(sides), heads, seed=training.seed)
            kind = _PROBES[kind] if pooled.trained.intersection(sides) else kind
        rivals.predictions[kind] = found
        _file_log.info("baseline %s: %s", kind, seconds(time.monotonic() - begun))
    return rivals


def _possible(kinds: Collection[str], test: Rows, sides: Collection[str]) -> list[str]:
    """The baselines that the model has the inputs for."""
    both = bool(test.images and test.texts)
    needs = {"lexical": bool(test.texts), "linear": bool(sides)}
    needs |= {kind: both and side in sides for kind, side in _SIDES.items()}
    return [kind for kind in kinds if needs[kind]]


def _sample(training: TrainingRows, notes: list[str]) -> Rows:
    """The training rows; a sample of very many."""
    rows = training.rows
    if len(rows) <= _MOST_ROWS:
        return rows
    drawn = np.random.default_rng(training.seed).choice(len(rows), _MOST_ROWS, replace=False)
    notes.append(
        f"The lexical and linear baselines were trained on {_MOST_ROWS:,} of {len(rows):,} rows."
    )
    return rows.take(np.sort(drawn).tolist())


def _fitting(heads: Mapping[str, Head], rows: Rows, notes: list[str]) -> dict[str, Head]:
    """The heads that baselines can be trained for."""
    fitting = {}
    for name, head in heads.items():
        if head.num_classes > _MOST_OUTPUTS:
            notes.append(
                f"No baseline was trained for the {head.num_classes:,} classes of {name!r}; the "
                f"limit is {_MOST_OUTPUTS}."
            )
        elif not is_labelled(head, rows.labels[name], rows.sample_weight):
            notes.append(f"No baseline was trained for {name!r}: no training row has its label.")
        else:
            fitting[name] = head
    return fitting
