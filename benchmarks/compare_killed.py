"""Kills a comparison at random moments until it is finished, and compares its table.

    python benchmarks/compare_killed.py --config grid.toml [--kills 15]

The table must be the same, digit for digit, as that of a comparison that nobody stopped.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", required=True)
    parser.add_argument("--kills", type=int, default=15)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    draw = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        whole = run(options.config, Path(folder) / "whole")
        seconds = time.perf_counter() - begun
        print(f"not stopped: {seconds:.0f} s", flush=True)
        killed = Path(folder) / "killed"
        for number in range(options.kills):
            # Not before the first cell can be finished, or the comparison would never end.
            limit = draw.uniform(0.3, 1.0) * seconds / 3
            cells = run(options.config, killed, limit)
            done = len(list((killed / "cells").glob("*.parquet")))
            print(f"kill {number + 1} after {limit:.0f} s: {done} cells on disk", flush=True)
            if cells is not None:
                break
        found = cells if cells is not None else run(options.config, killed)
    for one, other in zip(whole, found, strict=True):
        one.pop("seconds"), other.pop("seconds")
    print("the same table" if whole == found else "ANOTHER TABLE")
    sys.exit(whole != found)


def run(config: str, output: Path, limit: float | None = None) -> list[dict] | None:
    """The cells of a comparison; `None` if it was killed after `limit` seconds."""
    command = [sys.executable, "-m", "keras_mm.cli", "compare", "--config", config, "--json"]
    process = subprocess.Popen(
        [*command, "--quiet", "--output", str(output)], stdout=subprocess.PIPE, text=True
    )
    try:
        text, _ = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return None
    if process.returncode:
        sys.exit(f"the comparison failed with status {process.returncode}")
    return json.loads(text)["cells"]


if __name__ == "__main__":
    main()
