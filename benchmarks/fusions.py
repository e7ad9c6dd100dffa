"""A table of the fusions beside each modality alone, on frozen features: mean and spread of seeds.

    python benchmarks/fusions.py vqa_rad.csv --groups image --images image --texts question \
        --seeds 0,1,2 --output fusions.json --vision-weights W.h5 --text-weights FOLDER

Pooled out-of-fold accuracy and macro-F1 of five folds (or of the rows that the column `split` calls
test). Every fold stops early by a tenth of its training rows. Settings are those of the preset
`mobilenet_v2_minilm`, the same for every line, but for pairs: nothing is compared, and texts are
packed, which every fusion can do.
"""

import argparse
import json
import time

import keras
import numpy as np
from frozen import FrozenTable, add_arguments, names, numbers
from sklearn.metrics import f1_score

import keras_mm
from keras_mm.presets.presets import FUSIONS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser)
    parser.add_argument("--seeds", type=numbers, default=[0, 1, 2])
    parser.add_argument("--fusions", type=names, default=list(FUSIONS))
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--min-epochs", type=int, default=1, help="where early stopping begins")
    parser.add_argument("--output", help="JSON file")
    options = parser.parse_args()

    table = FrozenTable(options, tokens=True)
    settings = keras_mm.get_preset("mobilenet_v2_minilm")
    kept = {
        "epochs": options.epochs,
        "min_epochs": options.min_epochs,
        "modality_dropout": settings.modality_dropout,
    }
    lines = {"images alone": {"sides": ["vision"]}, "texts alone": {"sides": ["text"]}}
    lines.update({name: {"fusion": name} for name in options.fusions})
    _, counts = np.unique(table.labels, return_counts=True)
    print(f"{len(table.labels)} rows; majority class: accuracy {counts.max() / counts.sum():.4f}")
    found = {}
    for name, line in lines.items():
        begun = time.perf_counter()
        scores = np.array([pooled(table, seed, **line, **kept) for seed in options.seeds])
        seconds = (time.perf_counter() - begun) / len(options.seeds)
        mean, spread = scores.mean(axis=0), scores.std(axis=0, ddof=min(1, len(scores) - 1))
        found[name] = {"accuracy": scores[:, 0].tolist(), "macro_f1": scores[:, 1].tolist()}
        print(
            f"{name:16} accuracy {mean[0]:.4f} +- {spread[0]:.4f}, macro-F1 {mean[1]:.4f} +- "
            f"{spread[1]:.4f}; {seconds:.0f} s a seed",
            flush=True,
        )
    if options.output:
        facts = {"backend": keras.backend.backend(), "seeds": options.seeds, "lines": found}
        with open(options.output, "w") as file:
            json.dump(facts, file, indent=1)


def pooled(table: FrozenTable, seed: int, **options) -> tuple[float, float]:
    """Accuracy and macro-F1 over all test rows, each answered by the fold that did not see it."""
    truth, answers = [], []
    for train, val, test in table.splits(seed):
        trunk = table.trained(train, val, seed, **options)
        truth.append(table.labels[test])
        answers.append(table.answers(trunk, test))
    labels, answered = np.concatenate(truth), np.concatenate(answers)
    return float(np.mean(labels == answered)), float(f1_score(labels, answered, average="macro"))


if __name__ == "__main__":
    main()
