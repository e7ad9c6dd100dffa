"""How often intervals cover the true score, and how often tests find what is not there.

    python benchmarks/interval_coverage.py --trials 1000

Coverage: rows of three classes are drawn from a known distribution. The 95% intervals of a model
with fixed error rates are compared with its score on 400,000 rows.

Null: a logistic regression is trained on features that say nothing about the labels. A test is
wrong if it finds the model better than always predicting the shares of the classes. The tests are
those on 120 held-out rows, and the corrected t-test over 5 x 5 folds. Macro-F1 stands here to show
that it is no measure of what a model has learned: the constant prediction has a low one.
"""

import argparse
import json
from collections import Counter
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import RepeatedStratifiedKFold

from keras_mm.metrics import bootstrap_difference, bootstrap_interval, corrected_t_test, mcnemar
from keras_mm.metrics.additive.scores import additive_score, scored_rows

# Shares of the classes, how often a row of each is predicted correctly, number of rows.
DESIGNS = {
    "rare, 140 rows": ((0.1, 0.1, 0.8), (0.5, 0.5, 0.9), 140),
    "rare, 600 rows": ((0.1, 0.1, 0.8), (0.5, 0.5, 0.9), 600),
    "even, 100 rows": ((0.25, 0.25, 0.5), (0.6, 0.6, 0.8), 100),
    "one class of 2%, 400 rows": ((0.02, 0.08, 0.9), (0.3, 0.5, 0.97), 400),
}
SCORES = ("macro_f1", "log_loss", "auprc")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--output", type=Path, help="JSON file for the results")
    options = parser.parse_args()
    results = {"coverage": coverage(options.trials), "null": null(options.trials)}
    for part, values in results.items():
        print(part, json.dumps(values, indent=2))
    if options.output:
        options.output.write_text(json.dumps({"trials": options.trials, **results}, indent=2))


def coverage(trials: int) -> dict[str, dict[str, float]]:
    """Shares of trials in which the interval covers the score of the whole population."""
    found = {}
    for number, (design, (prior, recall, num_rows)) in enumerate(DESIGNS.items()):
        rng = np.random.default_rng(number)
        labels, proba = draw(prior, recall, 400_000, rng)
        rows = scored_rows(labels, proba, "multiclass", weights=np.ones(len(labels)))
        everyone = np.ones((len(labels), 1))
        truth = {s: additive_score(s, "multiclass", rows).of_samples(everyone) for s in SCORES}
        covered = Counter(dict.fromkeys(SCORES, 0))
        for trial in range(trials):
            labels, proba = draw(prior, recall, num_rows, rng)
            for score in SCORES:
                low, high = bootstrap_interval(labels, proba, score, seed=trial)
                covered[score] += int(low <= truth[score].item() <= high)
        found[design] = {score: count / trials for score, count in covered.items()}
    return found


def draw(prior, recall, num_rows: int, rng) -> tuple[np.ndarray, np.ndarray]:
    """Labels and probabilities of a model with these error rates."""
    labels, others = rng.choice(3, (2, num_rows), p=prior)
    answers = np.where(rng.random(num_rows) < np.asarray(recall)[labels], labels, others)
    sure = rng.uniform(0.4, 0.99, (num_rows, 1))
    return labels, np.where(np.arange(3) == answers[:, None], sure, (1 - sure) / 2)


def null(trials: int) -> dict[str, float]:
    """Shares of trials in which each test says that a model of noise is better than the shares."""
    better = Counter()
    for trial in range(trials):
        rng = np.random.default_rng(trial)
        labels = rng.permutation(np.repeat([0, 1, 2], [100, 80, 60]))
        features = rng.normal(size=(240, 10))
        better.update(held_out(features, labels, trial))
        better.update(folds(features, labels, trial))
    return {name: count / trials for name, count in better.items()}


def held_out(features, labels, seed: int) -> dict[str, int]:
    """Whether each test on held-out rows says so."""
    train, test = np.split(np.arange(240), 2)
    model, constant = predictions(features, labels, train, test)
    found = {}
    for score, is_loss in (("accuracy", False), ("macro_f1", False), ("log_loss", True)):
        difference = bootstrap_difference(labels[test], model, constant, score, seed=seed)
        better = difference.high < 0 if is_loss else difference.low > 0
        found[f"bootstrap, {score}"] = int(better)
    result = mcnemar(*(part.argmax(axis=1) == labels[test] for part in (model, constant)))
    better = result.p_value <= 0.05 and result.only_first > result.only_second
    return {**found, "McNemar": int(better)}


def folds(features, labels, seed: int) -> dict[str, int]:
    """Whether the corrected t-test over folds says so."""
    differences = []
    repeated = RepeatedStratifiedKFold(n_splits=5, n_repeats=5, random_state=seed)
    for train, test in repeated.split(features, labels):
        both = predictions(features, labels, train, test)
        accuracies = [(part.argmax(axis=1) == labels[test]).mean() for part in both]
        differences.append(accuracies[0] - accuracies[1])
    result = corrected_t_test(differences, train_size=192, test_size=48)
    return {"corrected t-test, accuracy": int(result.p_value <= 0.05 and result.value > 0)}


def predictions(features, labels, train, test) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of a logistic regression, and the shares of the classes in training."""
    model = LogisticRegression().fit(features[train], labels[train])
    shares = np.bincount(labels[train], minlength=3) / len(train)
    return model.predict_proba(features[test]), np.tile(shares, (len(test), 1))


if __name__ == "__main__":
    main()
