"""What averaging the trunks of five folds gives, beside the mean of the trunks themselves.

    python benchmarks/folds.py TABLE.csv --images a,b --texts a,b [--groups image] \
        [--seeds 0,1,2] [--set vision_weights=W.h5] [--set text_weights=FOLDER] ...

Trains on all rows outside each of `--outer` folds (or outside the rows that the column `split`
calls test) and predicts these. Prints accuracy, macro-F1 and log loss over all of them: of the
average, and the mean of the single trunks'. Also how long training takes, beside a single trunk on
the same rows. The first training of a table encodes its rows and is not timed.
"""

import argparse
import time
from dataclasses import replace

import keras
import numpy as np
from tables import add_table_arguments, outer_splits, read_labelled, read_settings

import keras_mm
from keras_mm.metrics.classification import classification_metrics
from keras_mm.metrics.intervals import wilson_interval
from keras_mm.metrics.probabilities import probabilities
from keras_mm.models.ensemble import members

NAMES = ("accuracy", "macro_f1", "log_loss")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_table_arguments(parser)
    parser.add_argument("--folds", type=int, default=5, help="trunks that are averaged")
    parser.add_argument("--outer", type=int, default=5)
    parser.add_argument("--seeds", default="0,1,2")
    options = parser.parse_args()
    settings, table = read_settings(options), read_labelled(options)
    classes = sorted(table[options.labels].unique())
    kept = {"classes": classes, **settings}
    single = keras_mm.MultimodalClassifier(**kept, folds=1)
    single.fit(table, groups=options.groups)  # encodes the rows
    lines = []
    for seed in map(int, options.seeds.split(",")):
        lines.append(one_seed(table, options, kept, seed))
        print(f"seed {seed}: {told(lines[-1])}", flush=True)
    average, mean, seconds = (np.array([line[i] for line in lines]) for i in range(3))
    counted = lines[0][3]
    line = average.mean(0), mean.mean(0), seconds.mean(0), counted
    print(f"mean of {len(lines)} seeds: {told(line)}")
    low, high = wilson_interval(average.mean(0)[0] * counted, counted)
    print(f"accuracy of the average [{low:.3f}, {high:.3f}] on {counted} rows")
    print(f"backend {keras.backend.backend()}, {len(table)} rows")


def one_seed(table, options, settings: dict, seed: int) -> tuple:
    """Metrics of the average, the mean of the members', seconds of training, number of rows."""
    found, truth, seconds = [], [], np.zeros(2)
    for train, test in outer_splits(table, options, options.outer, seed):
        for place, folds in enumerate((1, options.folds)):
            model = keras_mm.MultimodalClassifier(**{**settings, "seed": seed, "folds": folds})
            begun = time.perf_counter()
            model.fit(train, groups=options.groups)
            seconds[place] += time.perf_counter() - begun
        predictor = model.predictor_
        rows = predictor.rows(test, heads=model.heads_)
        features = predictor.features(rows)
        each = [predictor, *(replace(predictor, model=m) for m in members(model.model_))]
        found.append([probabilities(one.logits(rows, features)["label"]) for one in each])
        truth.append(rows.labels["label"])
    labels = np.concatenate(truth)
    scores = []
    for number in range(len(found[0])):
        predicted = np.concatenate([part[number] for part in found])
        metrics = classification_metrics(labels, predicted, settings["classes"])
        scores.append([metrics[name] for name in NAMES])
    return np.array(scores[0]), np.mean(scores[1:], axis=0), seconds, len(labels)


def told(line: tuple) -> str:
    average, mean, (alone, together), _ = line
    parts = [
        f"{name} {value:.4f} (single {one:.4f})"
        for name, value, one in zip(NAMES, average, mean, strict=True)
    ]
    return f"{', '.join(parts)}; {together:.1f} s, {together / alone:.2f} x a single trunk's"


if __name__ == "__main__":
    main()
