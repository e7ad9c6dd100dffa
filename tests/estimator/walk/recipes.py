"""What a classifier of the walk is made by: its parameters, its tables, its trainings in order."""

from __future__ import annotations

import copy
import warnings
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from keras_mm import Head, MultimodalClassifier

LABELS = {
    "one": "label",
    "two": ["label", "way"],
    "kinds": {"label": Head(), "size": Head("regression"), "tags": Head("multilabel")},
}
HEADS = {"one": ("label",), "two": ("label", "way"), "kinds": ("label", "size", "tags")}
# Heads of `add_head`.
ADDED = {
    "moved": Head("binary", column="way"),
    "length": Head("regression", column="size", dropout_rate=0.1),
}


def _table(seed: int, num_rows: int, classes: tuple[str, ...], start: int = 0) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    words = np.array(["red", "old", "cat", "dog", "sings", "sleeps", "in", "rain"])
    label = np.array([classes[i % len(classes)] for i in range(num_rows)])
    return pd.DataFrame(
        {
            "text": [" ".join(draw.choice(words, 1 + i % 5)) for i in range(num_rows)],
            "other": [" ".join(draw.choice(words, 3)) for _ in range(num_rows)],
            "label": draw.permutation(label),
            "way": draw.permutation(["up", "down"] * num_rows)[:num_rows],
            "size": draw.normal(50, 9, num_rows).round(2),
            "tags": [["a"] if i % 3 else ["a", "b"] for i in range(num_rows)],
        },
        index=pd.Index(range(start, start + 3 * num_rows, 3), name="key"),
    )


# 32 rows are trained on and 8 validated on: whole batches, so that nothing is compiled again.
SPLIT = 0.2
TABLES = {
    "first": _table(1, 40, ("x", "y"), start=7),
    "second": _table(2, 40, ("y", "x")),
    "wider": _table(3, 40, ("x", "y", "z")),
}
PROBE = _table(4, 19, ("x", "y"), start=100).drop(columns=["label", "way", "size", "tags"])


@dataclass(frozen=True)
class Wish:
    """Parameters of a classifier."""

    labels: str = "one"
    pair: bool = False
    trainable: bool = False
    seed: int = 0
    warm_start: bool = False
    cache: bool = True
    balanced: bool = False

    def parameters(self) -> dict:
        """Keywords of `MultimodalClassifier`, new objects at each call."""
        return {
            "texts": ["text", "other"] if self.pair else ["text"],
            "labels": copy.deepcopy(LABELS[self.labels]),
            "preset": "tiny",
            "text_trainable": self.trainable,
            "class_weight": "balanced" if self.balanced else None,
            "epochs": 1,
            "batch_size": 16,
            "cache": self.cache,
            "seed": self.seed,
            "warm_start": self.warm_start,
            "verbose": 0,
            # Without decay one epoch is the same in a training of one as in one of two.
            "training": {"decay": "constant", "projection_dims": 16},
        }

    def asks_for_the_model_of(self, other: Wish) -> bool:
        """Whether a training may go on from a model that was made by `other`."""
        return replace(self, seed=0, warm_start=False, cache=True, balanced=False) == replace(
            other, seed=0, warm_start=False, cache=True, balanced=False
        )


@dataclass(frozen=True)
class Training:
    """One training that came to its end.

    Attributes:
        wish: The parameters at the time.
        table: Name in `TABLES`.
        heads: The heads of `fit_head`; empty for `fit`.
        freeze: As in `fit_head`.
    """

    wish: Wish
    table: str
    heads: tuple[str, ...] = ()
    freeze: bool = True

    def run(self, classifier: MultimodalClassifier, table: pd.DataFrame, **options) -> None:
        """Trains a classifier that has the parameters already, and the heads."""
        options = {"validation_split": SPLIT, **options}
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*predictions of the other heads")
            if self.heads:
                classifier.fit_head(list(self.heads), table, freeze=self.freeze, **options)
            else:
                classifier.fit(table, **options)


Recipe = tuple[Training, ...]


def extended(recipe: Recipe, training: Training) -> Recipe:
    """The trainings that decide a classifier's answers after one more."""
    anew = not training.heads and not training.wish.warm_start
    return (training,) if anew or not recipe else (*recipe, training)


def made_by(recipe: Recipe) -> MultimodalClassifier:
    """A classifier of its own, trained as the recipe says."""
    classifier = MultimodalClassifier()
    for training in recipe:
        classifier.set_params(**training.wish.parameters())
        for name in set(training.heads) & set(ADDED) - set(getattr(classifier, "heads_", ())):
            classifier.add_head(name, ADDED[name])
        training.run(classifier, TABLES[training.table])
    return classifier


def base(recipe: Recipe) -> Wish:
    """The parameters of the last training of the whole model, which a saved model holds."""
    return next(training.wish for training in reversed(recipe) if not training.heads)


def head_names(recipe: Recipe) -> list[str]:
    """The trained heads."""
    added = [name for training in recipe for name in training.heads if name in ADDED]
    return [*HEADS[base(recipe).labels], *dict.fromkeys(added)]
