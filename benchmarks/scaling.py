"""What prediction, or training, costs as rows grow: time by row, and the most anonymous memory.

    python benchmarks/scaling.py [--fit] [--sizes 1000,10000,100000] [--output FILE.json]

Drawn rows, all different: two PNG images of 24 pixels and two texts. Each size is a CSV that a
process of its own answers with a `tiny` model, from file to probabilities, with an empty cache;
with `--fit` it trains one for an epoch, its encoders frozen. `memory` is the peak of RssAnon
(Linux), which is what the process holds besides files. `processor` is the time of all cores, which
a busy machine changes less.
"""

import argparse
import json
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from common import report, run_child
from PIL import Image

_WORDS = ("light", "dark", "small", "large", "square", "circle", "red", "blue", "left", "right")


def draw(folder: Path, rows: int) -> None:
    """Writes the largest table's images, and its rows as CSV."""
    generator = np.random.default_rng(0)
    found = {name: [] for name in ("image_1", "image_2", "text_1", "text_2")}
    for row in range(rows):
        shelf = folder / str(row // 1000)
        if row % 1000 == 0:
            shelf.mkdir()
        for slot in (1, 2):
            pixels = np.full((24, 24, 3), generator.integers(0, 256, 3), "uint8")
            pixels[:5, :5] = [row % 256, row // 256 % 256, row // 65536 * 2 + slot]
            path = shelf / f"{row}-{slot}.png"
            Image.fromarray(pixels).save(path, compress_level=1)
            found[f"image_{slot}"].append(str(path.relative_to(folder)))
            words = generator.choice(_WORDS, generator.integers(3, 9))
            found[f"text_{slot}"].append(" ".join([*words, *str(row)]))
    found["label"] = generator.choice(("no", "yes"), rows)
    pd.DataFrame(found).to_csv(folder / "all.csv", index=False)


def child(options) -> dict:
    """Answers one table, or trains on it; before that few rows, so that everything is compiled."""
    import keras_mm

    few, table = (options.folder / f"{name}.csv" for name in ("few", options.child))
    if options.fit:
        frozen = {"vision_trainable": False, "text_trainable": False}
        classifier = keras_mm.MultimodalClassifier(preset="tiny", **frozen, epochs=1, verbose=0)
        work = classifier.fit
    else:
        classifier = keras_mm.MultimodalClassifier.load(options.folder / "model")
        classifier.verbose = 0
        work = classifier.predict_proba
    classifier.set_params(cache=False)
    work(few)
    classifier.set_params(cache=str(options.folder / f"cache-{options.child}"))
    peak, done = [0], threading.Event()

    def watch():
        while not done.wait(0.02):
            status = Path("/proc/self/status").read_text()
            line = next(line for line in status.splitlines() if line.startswith("RssAnon"))
            peak[0] = max(peak[0], int(line.split()[1]))

    watching = threading.Thread(target=watch)
    watching.start()
    begun, busy = time.perf_counter(), time.process_time()
    work(table)
    seconds, busy = time.perf_counter() - begun, time.process_time() - busy
    done.set()
    watching.join()
    rows = int(options.child)
    return {
        "seconds": seconds,
        "ms per row": 1e3 * seconds / rows,
        "processor ms per row": 1e3 * busy / rows,
        "memory, MB": peak[0] / 1e3,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fit", action="store_true", help="train instead of answering")
    parser.add_argument("--sizes", default="1000,10000,100000")
    parser.add_argument("--backend", default="tensorflow")
    parser.add_argument("--output", type=Path, help="JSON file for the results")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child == "model":
        import keras_mm

        classifier = keras_mm.MultimodalClassifier(preset="tiny", epochs=1, verbose=0)
        classifier.fit(keras_mm.load_sample_data()[0][:160]).save(options.folder / "model")
        print("{}")
        return
    if options.child:
        print(json.dumps(child(options)))
        return
    sizes = sorted(int(size) for size in options.sizes.split(","))
    with TemporaryDirectory() as name:
        folder = Path(name)
        draw(folder, sizes[-1])
        table = pd.read_csv(folder / "all.csv", dtype=str)
        for size in ("few", *sizes):
            table[: 64 if size == "few" else size].to_csv(folder / f"{size}.csv", index=False)
        fit = ["--fit"] if options.fit else []
        run_child(__file__, ["--child", "model", "--folder", folder], options.backend)
        results = {
            f"{size:,} rows": run_child(
                __file__, ["--child", size, "--folder", folder, *fit], options.backend
            )
            for size in sizes
        }
    first = next(iter(results.values()))
    for row in results.values():
        row["time, times the first"] = row["ms per row"] / first["ms per row"]
        ours = row["processor ms per row"] / first["processor ms per row"]
        row["processor, times the first"] = ours
        row["memory, times the first"] = row["memory, MB"] / first["memory, MB"]
    report(results, options.output)


if __name__ == "__main__":
    main()
