"""Chooses `compare` and `modality_dropout` by validation rows alone, then scores the choice.

    KERAS_BACKEND=jax python benchmarks/settings_by_validation.py emoji_group.csv \
        --images image_1,image_2 --texts text_1,text_2 --seeds 10,11 --test-seeds 10,11,12,13 \
        --vision-weights W.h5 --text-weights FOLDER

Encodes the table once with the frozen encoders of `mobilenet_v2_minilm`, then trains the rest for
every candidate, by the table's `split` column or in five folds with a tenth of each fold's training
rows held out. Test rows are looked at for the chosen candidate, and for the texts alone, only.
"""

import argparse

import numpy as np
from frozen import SIDES, FrozenTable, add_arguments, numbers
from sklearn.metrics import f1_score

CANDIDATES = [(compare, rate) for compare in (True, False) for rate in (0.0, 0.15, 0.3, 0.45)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser)
    for name in ("--seeds", "--test-seeds"):
        parser.add_argument(name, required=True, type=numbers)
    options = parser.parse_args()
    table = FrozenTable(options)
    scores = {}
    for compare, rate in CANDIDATES:
        settings = {"compare": compare, "modality_dropout": rate}
        found = [run(table, seed, **settings)[0] for seed in options.seeds]
        scores[compare, rate] = np.mean(found, axis=0)
        accuracy, macro_f1 = scores[compare, rate]
        print(
            f"compare={compare!s:5} modality_dropout={rate:<4}  validation: accuracy "
            f"{accuracy:.4f}, macro-F1 {macro_f1:.4f}",
            flush=True,
        )
    compare, rate = max(scores, key=lambda candidate: scores[candidate][1])
    print(f"chosen by macro-F1: compare={compare}, modality_dropout={rate}")
    settings = {"compare": compare, "modality_dropout": rate}
    for name, sides in (("images and texts", SIDES), ("texts alone", ("text",))):
        found = np.array(
            [run(table, seed, sides=sides, **settings)[1] for seed in options.test_seeds]
        )
        accuracy, macro_f1 = found.mean(axis=0)
        spread = found.std(axis=0, ddof=min(1, len(found) - 1))
        print(
            f"{name}, {len(found)} seeds, test: accuracy {accuracy:.4f} +- {spread[0]:.4f}, "
            f"macro-F1 {macro_f1:.4f} +- {spread[1]:.4f}; each: {found.round(4).tolist()}"
        )


def run(table: FrozenTable, seed: int, **settings) -> list:
    """`(accuracy, macro-F1)` on the validation rows and on the test rows, pooled over the folds."""
    pooled: dict[str, list] = {"val": [], "test": []}
    for train, *held in table.splits(seed):
        trunk = table.trained(train, held[0], seed, **settings)
        for name, positions in zip(pooled, held, strict=True):
            pooled[name].append((table.labels[positions], table.answers(trunk, positions)))
    scores = []
    for parts in pooled.values():
        truth, answer = map(np.concatenate, zip(*parts, strict=True))
        scores.append((np.mean(truth == answer), f1_score(truth, answer, average="macro")))
    return scores


if __name__ == "__main__":
    main()
