"""How often a verdict finds a difference where there is none: labels are shuffled.

A logistic regression is trained on features that say nothing about the labels, and compared with
always predicting the majority class. At most 8% of the verdicts may be "better".

    python benchmarks/null_verdicts.py [--runs 200] [--rows 400] [--groups 0]
"""

import argparse

import numpy as np

from keras_mm.evaluation.baselines.head_model import fit_head, linear_model
from keras_mm.evaluation.differences import score_differences
from keras_mm.evaluation.verdict import find_verdict
from keras_mm.metrics.head_metrics import head_prior, measure, prior_metrics
from keras_mm.settings.heads import Head

SHARES = {"balanced": (0.5, 0.5), "60/40": (0.6, 0.4), "three": (0.4, 0.35, 0.25)}


def verdict_of(shares, num_rows, num_groups, seed):
    """The verdict on a model of noise, trained on half of the rows."""
    random = np.random.default_rng(seed)
    head = Head(classes=len(shares))
    features = random.normal(size=(num_rows, 20))
    labels = random.permutation(
        np.resize(
            np.repeat(np.arange(len(shares)), [round(100 * share) for share in shares]), num_rows
        )
    )
    groups = None
    if num_groups:  # rows of a group are equal
        of_rows = random.integers(0, num_groups, num_rows)
        features, labels = features[of_rows], labels[of_rows]
        groups = of_rows[num_rows // 2 :]
    train, test = slice(0, num_rows // 2), slice(num_rows // 2, None)
    model = fit_head(head, linear_model(1.0), features[train], labels[train], None)(features[test])
    prior = head_prior(head, labels[train])
    constant = np.tile(prior, (len(model), 1))
    found = score_differences(head, labels[test], model, constant, groups=groups)
    baselines = {"majority": prior_metrics(head, prior, labels[test])}
    return find_verdict(head, measure(head, labels[test], model), baselines, {"majority": found})


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--rows", type=int, default=400)
    parser.add_argument("--groups", type=int, default=0)
    options = parser.parse_args()
    for name, shares in SHARES.items():
        verdicts = [
            verdict_of(shares, options.rows, options.groups, seed) for seed in range(options.runs)
        ]
        better = np.mean([verdict.better for verdict in verdicts])
        print(f"{name}: {better:.1%} of {options.runs} verdicts are better")


if __name__ == "__main__":
    main()
