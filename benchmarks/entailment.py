"""Texts alone on the tweets of the entailment data: folds drawn freely, and by template.

    python benchmarks/entailment.py tweets.csv --texts text_1,text_2 \
        [--models trees,blend] [--repeats 2] [--set text_weights=FOLDER] ...

Each repeat draws five stratified folds anew: once freely, once with near-duplicates in one fold.
Prints macro-F1, mean and standard deviation of the folds; and of all rows of all repeats macro-F1
with its interval, which draws groups of near-duplicates, and accuracy. Whatever is chosen, such as
the offsets of the blend, is chosen within the training rows.
"""

import argparse
import re
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.special import softmax
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from tables import add_table_arguments, read_labelled, read_settings

import keras_mm
from keras_mm.data.tables.rows import read_rows
from keras_mm.evaluation.baselines.lexical import predict_lexical
from keras_mm.losses.class_weights import resolve_class_weight
from keras_mm.metrics import bootstrap_interval, classification_metrics
from keras_mm.settings.heads import Head

FOLDS = 5
_PARTS = (r"\w+", r"\d[\d.,:]*", r"#\w+", r"@\w+", r"https?://\S+", r"[^\w\s,.]")
_OFFSETS = np.arange(-1.5, 2.01, 0.25)  # of log probabilities


class Pairs:
    """The table, and features of its rows that need no labels."""

    def __init__(self, options: argparse.Namespace):
        self.settings = {"preset": "minilm_text", **read_settings(options)}
        self.table = read_labelled(options).reset_index(drop=True)
        self.column = options.labels
        self.classes = sorted(self.table[self.column].unique())
        self.head = Head(classes=tuple(self.classes))
        self.labels = np.searchsorted(self.classes, self.table[self.column])
        self.texts = [self.table[name].fillna("").tolist() for name in self.settings["texts"]]
        self.groups = keras_mm.near_duplicates(*self.texts)

    def folds(self, rows, groups, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Positions of training and test rows."""
        part = self.table.loc[rows]
        own = None if groups is None else groups[rows]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # a fold may lack a class
            drawn = keras_mm.stratified_k_fold(
                part, self.column, num_folds=FOLDS, groups=own, seed=seed
            )
        for train, test in drawn:
            yield train.index.to_numpy(), test.index.to_numpy()

    def classifier(self, **options) -> keras_mm.MultimodalClassifier:
        return keras_mm.MultimodalClassifier(
            **{**self.settings, "classes": self.classes, **options}
        )

    @cached_property
    def overlap(self) -> np.ndarray:
        """What the texts of a row have in common."""
        return np.array([overlap(*pair) for pair in zip(*self.texts, strict=True)])

    @cached_property
    def vectors(self) -> np.ndarray:
        """The frozen encoder's unit vectors of both texts, their distance and product."""
        model = self.classifier(folds=1, epochs=1).fit(self.table)
        predictor = model.predictor_
        features = predictor.features(predictor.rows(self.table, heads=model.heads_))
        pooled = np.asarray(features["text_pooled_output"][:], "float64")
        first, second = np.moveaxis(pooled / np.linalg.norm(pooled, axis=2, keepdims=True), 1, 0)
        return np.hstack([first, second, np.abs(first - second), first * second])

    @cached_property
    def both(self) -> np.ndarray:
        """The overlap, and the cosine of the vectors."""
        cosine = self.vectors[:, -self.vectors.shape[1] // 4 :].sum(axis=1, keepdims=True)
        return np.hstack([self.overlap, cosine])


def overlap(first: str, second: str) -> list[float]:
    """Lengths, and words, numbers, marks and characters in common; most without links and names."""
    lower = [first.lower(), second.lower()]
    bare = [" ".join(re.sub(r"https?://\S+|@\w+", " ", text).split()) for text in lower]
    found = []
    for one, other in (lower, bare):
        longest = max(1, len(one), len(other))
        found += [len(one), len(other), len(one) - len(other), abs(len(one) - len(other)) / longest]
    for part in _PARTS:
        texts = lower if part[0] in "#@h" else bare
        one, other = (set(re.findall(part, text)) for text in texts)
        found += [len(one), len(other), len(one & other), len(one - other), len(other - one)]
        found += shares(one, other)
    for length in (3, 5):
        found += shares(*({text[i : i + length] for i in range(len(text))} for text in bare))
    words = [text.split() for text in bare]
    found += shares(*(set(zip(text, text[1:], strict=False)) for text in words))
    for pair in (words, [text[::-1] for text in words]):  # beginning and end in common
        same = [one == other for one, other in zip(*pair, strict=False)]
        found.append(same.index(False) if False in same else len(same))
    return [float(value) for value in found]


def shares(one: set, other: set) -> list[float]:
    """Of the parts in common: of all, and of the smaller set."""
    common = len(one & other)
    return [common / max(1, len(one | other)), common / max(1, min(len(one), len(other)))]


def majority(pairs: Pairs, train, test, seed, groups) -> np.ndarray:
    counts = np.bincount(pairs.labels[train], minlength=len(pairs.classes))
    return np.eye(len(counts))[[counts.argmax()] * len(test)]


def lexical(pairs: Pairs, train, test, seed, groups, weight=None) -> np.ndarray:
    """The package's baseline."""
    rows = read_rows(pairs.table, texts=pairs.settings["texts"], labels={pairs.column: pairs.head})
    fitted = rows.take(train.tolist())
    if weight:
        of_class = resolve_class_weight(weight, pairs.labels[train], pairs.classes)
        fitted = replace(fitted, sample_weight=np.asarray(of_class)[pairs.labels[train]])
    if groups is not None:
        fitted = replace(fitted, groups=groups[train])
    heads = {pairs.column: pairs.head}
    chosen = predict_lexical({pairs.column: fitted}, rows.take(test.tolist()), heads, seed=seed)
    return chosen[pairs.column].predicted


def lexical_balanced(pairs: Pairs, train, test, seed, groups) -> np.ndarray:
    return lexical(pairs, train, test, seed, groups, "balanced")


def classifier(pairs: Pairs, train, test, seed, groups) -> np.ndarray:
    """The package's model."""
    model = pairs.classifier(seed=seed)
    model.fit(pairs.table.loc[train], groups=None if groups is None else groups[train])
    return model.predict_proba(pairs.table.loc[test])


def trees(pairs: Pairs, train, test, seed, groups) -> np.ndarray:
    """Randomised trees on the overlap: words alone."""
    return fitted_trees(pairs.overlap, pairs, train, test, seed)


def linear(pairs: Pairs, train, test, seed, groups) -> np.ndarray:
    """A linear model of the frozen encoder's vectors."""
    model = LogisticRegression(C=0.001, class_weight="balanced", max_iter=500)
    model = make_pipeline(StandardScaler(), model)
    return model.fit(pairs.vectors[train], pairs.labels[train]).predict_proba(pairs.vectors[test])


def kernel(pairs: Pairs, train, test, seed, groups) -> np.ndarray:
    """A support vector machine on the overlap and the cosine."""
    model = make_pipeline(StandardScaler(), SVC(class_weight="balanced"))
    model.fit(pairs.both[train], pairs.labels[train])
    return softmax(model.decision_function(pairs.both[test]), axis=1)


def blend(pairs: Pairs, train, test, seed, groups) -> np.ndarray:
    """Trees, linear model and kernel, with the offsets that inner folds choose for macro-F1."""
    inner = np.zeros((len(pairs.table), len(pairs.classes)))
    for rest, held_out in pairs.folds(train, groups, seed):
        inner[held_out] = averaged(pairs, rest, held_out, seed, groups)
    offsets = best_offsets(inner[train], pairs.labels[train])
    return softmax(averaged(pairs, train, test, seed, groups) + offsets, axis=1)


def averaged(pairs: Pairs, train, test, seed, groups) -> np.ndarray:
    """The mean of log probabilities."""
    parts = [fitted_trees(pairs.both, pairs, train, test, seed)]
    parts += [model(pairs, train, test, seed, groups) for model in (linear, kernel)]
    return np.mean([np.log(part + 1e-3) for part in parts], axis=0)


def fitted_trees(features: np.ndarray, pairs: Pairs, train, test, seed) -> np.ndarray:
    model = ExtraTreesClassifier(
        200, min_samples_leaf=5, class_weight="balanced", random_state=seed, n_jobs=1
    )
    return model.fit(features[train], pairs.labels[train]).predict_proba(features[test])


def best_offsets(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Offsets of the two rarer of three classes with the best macro-F1, smoothed over a grid."""
    rare = np.argsort(np.bincount(labels), kind="stable")[:2]
    scores = np.zeros((len(_OFFSETS), len(_OFFSETS)))
    offsets = np.zeros(logits.shape[1])
    for place in np.ndindex(scores.shape):
        offsets[rare] = _OFFSETS[list(place)]
        scores[place] = macro_f1(labels, logits + offsets)
    best = np.unravel_index(gaussian_filter(scores, 1.0, mode="nearest").argmax(), scores.shape)
    offsets[rare] = _OFFSETS[list(best)]
    return offsets


def macro_f1(labels: np.ndarray, logits: np.ndarray) -> float:
    """The mean over all classes; F1 is 0 for a class that neither is there nor is predicted."""
    table = np.zeros((logits.shape[1], logits.shape[1]))
    np.add.at(table, (labels, logits.argmax(axis=1)), 1)
    return float(np.mean(2 * np.diag(table) / np.maximum(table.sum(0) + table.sum(1), 1)))


MODELS: dict[str, Callable] = {
    function.__name__: function
    for function in (majority, lexical, lexical_balanced, classifier, trees, linear, kernel, blend)
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_table_arguments(parser)
    parser.add_argument("--models", default=",".join(MODELS), help=", ".join(MODELS))
    parser.add_argument("--repeats", type=int, default=2)
    options = parser.parse_args()
    pairs = Pairs(options)
    sizes = np.bincount(pairs.groups)
    template = pairs.table[pairs.column][pairs.groups == sizes.argmax()].value_counts()
    print(f"{len(pairs.table)} rows, {len(sizes)} groups; the largest: {template.to_dict()}")
    for name in options.models.split(","):
        for drawn, groups in (("freely", None), ("by template", pairs.groups)):
            print(f"{name:16} {drawn:11} {measured(pairs, MODELS[name], groups, options.repeats)}")


def measured(pairs: Pairs, model: Callable, groups, repeats: int) -> str:
    """Macro-F1 of the folds, and over all rows."""
    begun, of_folds = time.perf_counter(), []
    found = np.zeros((repeats, len(pairs.table), len(pairs.classes)))
    for seed in range(repeats):
        for train, test in pairs.folds(pairs.table.index, groups, seed):
            found[seed, test] = model(pairs, train, test, seed, groups)
            of_folds.append(macro_f1(pairs.labels[test], found[seed, test]))
    labels, predicted = np.tile(pairs.labels, repeats), np.concatenate(found)
    metrics = classification_metrics(labels, predicted, pairs.classes)
    low, high = bootstrap_interval(labels, predicted, groups=np.tile(pairs.groups, repeats))
    spread = np.std(of_folds, ddof=1)
    classes = " ".join(f"{metrics['per_class'][name]['f1']:.2f}" for name in pairs.classes)
    return (
        f"macro-F1 {np.mean(of_folds):.3f} ± {spread:.3f}; all rows {metrics['macro_f1']:.3f} "
        f"[{low:.3f}, {high:.3f}] (F1 {classes}), accuracy {metrics['accuracy']:.3f}; "
        f"{time.perf_counter() - begun:.0f} s"
    )


if __name__ == "__main__":
    main()
