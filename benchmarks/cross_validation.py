"""Pooled out-of-fold results of the estimator on a table, beside the majority class.

    python benchmarks/cross_validation.py TABLE.csv --labels label [--groups image] \
        [--images a,b] [--image-dir FOLDER] [--texts a,b] \
        [--config FILE.toml] [--set preset=mobilenet_v2_minilm] ...

Prints accuracy and macro-F1 over all rows, each predicted by the fold that did not see it. With
`--hide-images 0.5` also what is left of it where half of the rows (drawn by the seed) come without
their images, and where none has images.
"""

import argparse
import time

import numpy as np
from tables import add_table_arguments, read_labelled, read_settings

import keras_mm
from keras_mm.metrics.classification import classification_metrics, majority_baseline


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_table_arguments(parser)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--hide-images", type=float, metavar="SHARE", help="of the rows, in (0, 1)")
    options = parser.parse_args()
    keywords, table = {**read_settings(options), "seed": options.seed}, read_labelled(options)
    classes = sorted(table[options.labels].unique())
    labels = np.searchsorted(classes, table[options.labels])
    found = np.zeros((len(table), len(classes)))
    blind = np.zeros_like(found)
    position = {index: i for i, index in enumerate(table.index)}
    folds = keras_mm.stratified_k_fold(
        table, options.labels, num_folds=options.folds, groups=options.groups, seed=options.seed
    )
    model = keras_mm.MultimodalClassifier(**keywords, classes=classes)
    for number, (train, test) in enumerate(folds, 1):
        begun = time.perf_counter()
        model.fit(train, groups=options.groups)
        rows = [position[index] for index in test.index]
        found[rows] = model.predict_proba(test)
        if options.hide_images:
            blind[rows] = model.predict_proba(test.assign(**dict.fromkeys(model.images)))
        right = np.mean(found[rows].argmax(axis=1) == labels[rows])
        seconds = time.perf_counter() - begun
        told = f"accuracy {right:.4f} on {len(rows)} rows, {seconds:.0f} s"
        print(f"fold {number}: {told}", flush=True)
    metrics = classification_metrics(labels, found, classes)
    majority = majority_baseline(labels, labels, classes)
    low, high = metrics["accuracy_interval"]
    print(
        f"pooled: accuracy {metrics['accuracy']:.4f} [{low:.3f}, {high:.3f}] "
        f"(majority class {majority['accuracy']:.4f}), macro-F1 {metrics['macro_f1']:.4f} "
        f"(majority class {majority['macro_f1']:.4f}), {len(table)} rows"
    )
    if options.hide_images:
        draw = np.random.default_rng(options.seed).permutation(len(table))
        hidden = draw < options.hide_images * len(table)
        for share, answers in (
            (f"{options.hide_images:.0%}", np.where(hidden[:, None], blind, found)),
            ("all", blind),
        ):
            right = np.mean(answers.argmax(axis=1) == labels)
            fall = metrics["accuracy"] - right
            print(f"without the images of {share} rows: accuracy {right:.4f}, {fall:.4f} less")


if __name__ == "__main__":
    main()
