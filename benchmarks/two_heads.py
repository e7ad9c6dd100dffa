"""A model of two heads beside a model of each: pooled out-of-fold accuracy on one table.

    python benchmarks/two_heads.py vqa_rad.csv --heads label,organ --groups image --images image \
        --texts question --vision-weights W.h5 --text-weights FOLDER [--fusion concat]

Five folds of the rows, grouped, stratified by the last head (rows may lack the others' labels);
each fold stops early by a tenth of its training rows. Settings are the preset's, the same for all.
"""

import argparse
import json

import numpy as np
from frozen import names, numbers

import keras_mm
from keras_mm import Head, MultimodalClassifier
from keras_mm.metrics.classification import classification_metrics


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table")
    parser.add_argument("--heads", required=True, type=names)
    parser.add_argument("--groups")
    parser.add_argument("--images", required=True, type=names)
    parser.add_argument("--texts", required=True, type=names)
    parser.add_argument("--vision-weights", default="pretrained")
    parser.add_argument("--text-weights", default="pretrained")
    parser.add_argument("--fusion", default="concat")
    parser.add_argument("--seeds", type=numbers, default=[0, 1, 2])
    parser.add_argument("--output", help="JSON file")
    options = parser.parse_args()

    table = keras_mm.load_table(options.table)
    table = table[table[options.heads[-1]].notna()].reset_index(drop=True)
    together: dict = {name: [] for name in options.heads}
    alone: dict = {name: [] for name in options.heads}
    for seed in options.seeds:
        for name, accuracy in pooled(table, options.heads, options, seed).items():
            together[name].append(accuracy)
        for name in options.heads:
            alone[name].append(pooled(table, [name], options, seed)[name])
            both = together[name][-1]
            print(
                f"seed {seed} {name}: together {both:.4f}, alone {alone[name][-1]:.4f}", flush=True
            )
    for name in options.heads:
        counts = table[name].value_counts()
        majority = counts.max() / counts.sum()
        mean, single = np.mean(together[name]), np.mean(alone[name])
        print(
            f"{name}: together {mean:.4f}, alone {single:.4f} "
            f"({100 * (mean - single):+.1f} points); majority class {majority:.4f}"
        )
    if options.output:
        with open(options.output, "w") as file:
            json.dump({"together": together, "alone": alone}, file, indent=1)


def pooled(table, heads: list[str], options, seed: int) -> dict[str, float]:
    """Accuracy of each head over all rows that have its label, out of fold."""
    rows = table.dropna(subset=heads, how="all").reset_index(drop=True)
    classes = {name: sorted(table[name].dropna().unique()) for name in heads}
    model = MultimodalClassifier(
        images=options.images, texts=options.texts, fusion=options.fusion, seed=seed, verbose=0,
        labels={name: Head(classes=classes[name], column=name) for name in heads},
        vision_weights=options.vision_weights, text_weights=options.text_weights,
        text_pairing="packed", compare=False, vision_trainable=False, text_trainable=False, folds=1,
        image_size=128, training={"standardize": False},
    )  # fmt: skip
    truth: dict = {name: [] for name in heads}
    found: dict = {name: [] for name in heads}
    folds = keras_mm.stratified_k_fold(rows, heads[-1], groups=options.groups, seed=seed)
    for train, test in folds:
        model.fit(train, validation_split=0.1, groups=options.groups)
        shares = model.predict_proba(test)
        for name in heads:
            truth[name].append(test[name])
            found[name].append(shares if len(heads) == 1 else shares[name])
    accuracies = {}
    for name in heads:
        labels = np.concatenate([part.to_numpy(object) for part in truth[name]])
        codes = np.array([classes[name].index(x) if x in classes[name] else -1 for x in labels])
        metrics = classification_metrics(codes, np.concatenate(found[name]), classes[name])
        accuracies[name] = metrics["accuracy"]
    return accuracies


if __name__ == "__main__":
    main()
