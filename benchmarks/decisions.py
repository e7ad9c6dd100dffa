"""Decisions on a table: coverage and size of sets, temperature, abstention, over random splits.

    python benchmarks/decisions.py TABLE.csv --labels label [--groups image] \
        [--images a,b] [--texts a,b] [--splits 20] [--set preset=mobilenet_v2_minilm] ...

In each split a model is trained on 60% of the rows. Decisions are fitted once on half of the other
rows (`rows`), and once on what the training itself has held out (`training`): its validation rows,
or with `--set folds=5` its out-of-fold rows. Both are measured on the rest. Prints the means.
"""

import argparse
import tomllib
import warnings
from pathlib import Path

import numpy as np
from common import report

import keras_mm
from keras_mm.inference.decisions.measure import measure_decisions
from keras_mm.metrics import head_metrics

FIGURES = ("coverage", "mean_set_size", "empty_sets", "abstention_rate", "answered_accuracy",
           "temperature", "log_loss_before", "log_loss_after", "accuracy")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table")
    parser.add_argument("--labels", default="label")
    parser.add_argument("--groups")
    parser.add_argument("--images", default="")
    parser.add_argument("--texts", default="")
    parser.add_argument("--splits", type=int, default=20)
    parser.add_argument("--error", type=float, default=0.1)
    parser.add_argument("--output", type=Path, help="JSON file for the results")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    options = parser.parse_args()
    classifier = keras_mm.MultimodalClassifier(
        images=[c for c in options.images.split(",") if c],
        texts=[c for c in options.texts.split(",") if c],
        labels=options.labels,
        verbose=0,
        **dict(map(parsed, options.set)),
    )
    table = keras_mm.load_table(options.table)
    table = table[table[options.labels].notna()].reset_index(drop=True)
    found = {"rows": [], "training": []}
    for seed in range(options.splits):
        train, held_out, test = split(table, options, seed)
        classifier.set_params(seed=seed).fit(train, groups=options.groups)
        for name, rows in (("rows", held_out), ("training", None)):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # no answer with such an error: a figure says so
                classifier.fit_decisions(rows, error=options.error)
            found[name].append(measured(classifier, test))
        print(
            seed, {n: round(values[-1]["coverage"], 4) for n, values in found.items()}, flush=True
        )
    report({name: means(values) for name, values in found.items()}, options.output)


def parsed(item: str) -> tuple[str, object]:
    """The name and value of a setting."""
    name, _, text = item.partition("=")
    try:
        return name, tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return name, text


def split(table, options: argparse.Namespace, seed: int) -> tuple:
    """Training rows, apart from the others by group; the others are halved row by row."""
    train, other, _ = keras_mm.stratified_split(
        table, options.labels, val_size=0.4, groups=options.groups, seed=seed
    )
    shuffled = other.sample(frac=1, random_state=seed)
    half = len(shuffled) // 2
    return train, shuffled[:half], shuffled[half:]


def measured(classifier: keras_mm.MultimodalClassifier, test) -> dict:
    """Figures of the decisions on test rows."""
    predictor = classifier.predictor_
    (name, head), *_ = classifier.heads_.items()
    rows = predictor.rows(test, heads=classifier.heads_)
    logits = predictor.logits(rows)[name]
    found = measure_decisions(head, classifier.decisions_[name], rows.labels[name], logits)
    found["accuracy"] = head_metrics(head, rows.labels[name], logits)["accuracy"]
    return found


def means(values: list[dict]) -> dict:
    """The mean of each figure over splits; of the log loss also the mean change by temperature."""
    # No row may be answered in a split: then it has no accuracy of answers.
    found = {n: float(np.nanmean([one.get(n, np.nan) for one in values])) for n in FIGURES}
    found["log_loss_change"] = found["log_loss_after"] - found["log_loss_before"]
    return found


if __name__ == "__main__":
    main()
