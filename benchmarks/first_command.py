"""What the README's first command costs after the install: `keras-mm train` on the sample data.

    python benchmarks/first_command.py [--backends tensorflow] [--repeats 3] [--output FILE.json]

Each run is a process of its own with an empty cache; the medians are printed. `processor` is user
and system time of all cores, which a busy machine changes less than `seconds`. The log's times
split `seconds` into the start (imports and the checks of the rows), the first epoch (building and
tracing included), each later epoch, and the end (evaluation, report, saving).
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from common import report


def run(backend: str) -> dict[str, float]:
    """One run from nothing, and its seconds by part."""
    with TemporaryDirectory() as folder:
        output = Path(folder) / "run"
        command = [sys.executable, "-m", "keras_mm.cli", "train", "--quiet", "--output", output]
        cache = {"KERAS_BACKEND": backend, "KERAS_MM_CACHE": f"{folder}/cache"}
        env = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **cache}
        begun, clock = time.time(), time.perf_counter()
        process = subprocess.Popen(list(map(str, command)), env=env, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - clock
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{command} ended with {process.returncode}")
        times = log_times(output / "train.log")
        accuracy = json.loads((output / "metrics.json").read_text())["test"]["accuracy"]
        with open(output / "history.csv", newline="") as file:
            epochs = len(list(csv.DictReader(file)))
    first, last = times["epoch 1"], times[f"epoch {epochs}"]
    return {
        "seconds": seconds,
        "user": usage.ru_utime,
        "system": usage.ru_stime,
        "processor": usage.ru_utime + usage.ru_stime,
        "start": times["keras"] - begun,
        "first epoch": first - times["keras"],
        "later epoch": (last - first) / max(epochs - 1, 1),
        "end": begun + seconds - last,
        "epochs": epochs,
        "accuracy": accuracy,
    }


def log_times(path: Path) -> dict[str, float]:
    """When the training began and each epoch ended, in seconds since 1970, by the log's words."""
    found = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        day, hour, *words = line.split()
        # "epoch 3/12" is called "epoch 3".
        name = words[0] if words[0] != "epoch" else " ".join(words[:2]).partition("/")[0]
        moment = datetime.strptime(f"{day} {hour}", "%Y-%m-%d %H:%M:%S,%f")
        found.setdefault(name, moment.timestamp())
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backends", default="tensorflow", help="names, separated by commas")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--output", type=Path, help="JSON file for the results")
    options = parser.parse_args()
    results = {}
    for backend in options.backends.split(","):
        runs = [run(backend) for _ in range(options.repeats)]
        results[backend] = {name: float(np.median([r[name] for r in runs])) for name in runs[0]}
    report(results, options.output)


if __name__ == "__main__":
    main()
