"""What half of the test images are worth, with modality dropout in training and without.

    python benchmarks/missing_images.py emoji_group.csv --images image_1,image_2 \
        --texts text_1,text_2 --seeds 0,1,2 --vision-weights W.h5 --text-weights FOLDER

Trains what stands above the frozen encoders of `mobilenet_v2_minilm`, with `concat` or the fusion
of vectors that `--fusion` names, five folds a seed, and answers the held-out rows twice: as they
are, and with the images of half of them (drawn by the seed) gone.
"""

import argparse

import numpy as np
from frozen import FrozenTable, add_arguments, numbers

import keras_mm


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser)
    parser.add_argument("--seeds", type=numbers, default=[0, 1, 2])
    parser.add_argument("--compare", action="store_true")
    parser.add_argument("--fusion", default="concat", help="one of vectors")
    options = parser.parse_args()

    table = FrozenTable(options)
    preset = keras_mm.get_preset("mobilenet_v2_minilm")
    falls = {}
    for rate in (0.0, preset.modality_dropout):
        settings = {
            "modality_dropout": rate, "compare": options.compare, "fusion": options.fusion
        }  # fmt: skip
        scores = np.array([accuracies(table, seed, **settings) for seed in options.seeds])
        whole, half = scores.mean(axis=0)
        falls[rate] = whole - half
        print(
            f"modality_dropout={rate}: accuracy {whole:.4f}, with half of the images gone "
            f"{half:.4f}: {whole - half:.4f} less; each: {scores.round(4).tolist()}",
            flush=True,
        )
    without, with_dropout = falls.values()
    if without > 0:
        print(f"falls by {with_dropout / without:.2f} of what it falls without modality dropout")


def accuracies(table: FrozenTable, seed: int, **options) -> tuple[float, float]:
    """Pooled over the folds: on the rows as they are, and with half of the images gone."""
    hidden = np.random.default_rng(seed).permutation(len(table.labels)) % 2 == 0
    whole, half = np.zeros(len(hidden), bool), np.zeros(len(hidden), bool)
    for train, val, test in table.splits(seed):
        trunk = table.trained(train, val, seed, **options)
        whole[test] = table.answers(trunk, test) == table.labels[test]
        half[test] = table.answers(trunk, test, hidden=hidden[test]) == table.labels[test]
    scored = np.concatenate([test for *_, test in table.splits(seed)])
    return whole[scored].mean(), half[scored].mean()


if __name__ == "__main__":
    main()
