"""What an average of trunks costs at prediction, and how far its export is from it.

    python benchmarks/folds_prediction.py TABLE.csv --images a,b --texts a,b \
        [--rows 300] [--repeats 5] [--set vision_weights=W.h5] [--set text_weights=FOLDER] ...

Trains a single trunk and the average of five on the table. Prints the median seconds of `predict`
of the first rows, from files to labels without any cache, of both in turn; then exports the average
and prints the largest difference of a probability between the SavedModel, in a fresh process, and
the model.
"""

import argparse
import tempfile
import time
from pathlib import Path

import keras
import numpy as np
from tables import add_table_arguments, read_labelled, read_settings

import keras_mm


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_table_arguments(parser)
    parser.add_argument("--rows", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    settings, table = read_settings(options), read_labelled(options)
    rows = table[: options.rows]
    models = [
        keras_mm.MultimodalClassifier(**settings, folds=folds).fit(table, groups=options.groups)
        for folds in (1, 5)
    ]
    seconds: list[list[float]] = [[], []]
    for model in models:
        model.set_params(cache=False).predict(rows[:64])  # compiles
    for _ in range(options.repeats):
        for place, model in enumerate(models):
            begun = time.perf_counter()
            model.predict(rows)
            seconds[place].append(time.perf_counter() - begun)
    single, average = map(np.median, seconds)
    print(f"backend {keras.backend.backend()}, {len(rows)} rows: single {single:.2f} s, average of "
          f"five {average:.2f} s: {average / single:.3f} x", flush=True)  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        print(models[1].export(Path(folder) / "model", data=rows[:64]))


if __name__ == "__main__":
    main()
