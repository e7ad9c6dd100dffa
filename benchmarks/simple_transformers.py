"""How fast texts are trained on, beside Simple Transformers: the same rows, weights and settings.

    python benchmarks/simple_transformers.py rows.csv --model FOLDER --texts text_1,text_2 \\
        --label label --python /other/environment/bin/python

`FOLDER` holds a BERT in Hugging Face format; the other environment holds simpletransformers. Each
training is a process of its own, one library after the other, `--repeat` times; what is timed is
`train_model`, with all that it reads, builds and compiles, but without imports.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def train(library: str, args: argparse.Namespace) -> None:
    """Trains, and prints seconds and steps as JSON in the last line."""
    import pandas as pd

    if library == "keras_mm":
        from keras_mm.simple_transformers import ClassificationModel
    else:
        from simpletransformers.classification import ClassificationModel

    columns, label = args.texts.split(","), args.label
    table = pd.read_csv(args.rows, keep_default_na=False).sample(frac=1, random_state=0)
    names = ["text"] if len(columns) == 1 else ["text_a", "text_b"]
    codes = {name: place for place, name in enumerate(sorted(table[label].unique()))}
    table = table.assign(labels=table[label].map(codes))[[*columns, "labels"]].head(args.num_rows)
    table.columns = [*names, "labels"]
    with tempfile.TemporaryDirectory() as folder:
        model = ClassificationModel(
            "bert",
            args.model,
            num_labels=len(codes),
            use_cuda=False,
            args={
                "num_train_epochs": args.epochs,
                "max_seq_length": args.length,
                "train_batch_size": args.batch_size,
                "manual_seed": 7,
                "output_dir": folder,
                "cache_dir": folder,
                "overwrite_output_dir": True,
                "no_save": True,
                "no_cache": True,
                "silent": True,
                "use_multiprocessing": False,
            },
        )
        began = time.perf_counter()
        steps, loss = model.train_model(table)
        seconds = time.perf_counter() - began
    print(json.dumps({"seconds": seconds, "steps": steps, "loss": float(loss)}))


def timed(library: str, python: str, arguments: list[str]) -> dict:
    """A training in a fresh process."""
    command = [python, __file__, *arguments, "--only", library]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def main() -> None:
    """Trains with both in turn and prints the times, medians and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", help="a CSV file")
    parser.add_argument("--model", required=True, help="folder of a BERT, Hugging Face format")
    parser.add_argument("--texts", default="text", help="one text column, or two with a comma")
    parser.add_argument("--label", default="label")
    parser.add_argument("--python", default=sys.executable, help="where simpletransformers is")
    parser.add_argument("--num-rows", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--length", type=int, default=128, help="max_seq_length")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--output", type=Path, help="JSON file for the results")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only:
        return train(args.only, args)
    arguments = sys.argv[1:]
    found: dict[str, list[float]] = {"keras_mm": [], "simpletransformers": []}
    for _ in range(args.repeat):
        for library, python in (("keras_mm", sys.executable), ("simpletransformers", args.python)):
            one = timed(library, python, arguments)
            found[library].append(one["seconds"])
            print(
                f"{library}: {one['seconds']:.1f} s, {one['steps']} steps, loss {one['loss']:.3f}"
            )
    medians = {library: statistics.median(seconds) for library, seconds in found.items()}
    ratio = medians["simpletransformers"] / medians["keras_mm"]
    from common import report  # which the other environment lacks

    rows = {
        library: {"median seconds": seconds, "rows a second": args.num_rows * args.epochs / seconds}
        for library, seconds in medians.items()
    }
    report({**rows, "ratio": {"median seconds": ratio}}, args.output)
    return None


if __name__ == "__main__":
    main()
