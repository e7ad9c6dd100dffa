"""For the benchmarks of speed: drawn rows, medians, and results as a table and as JSON."""

import argparse
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from keras_mm.settings.engines import engine_problem

_WORDS = """
the a of and to in is that it was for on are with as his they be at one have this from or
had by hot but some what there we can out other were all your when up use how said an each
she which do their time if will way about many then them would write like so these her long
make thing see him two has look more day could go come did my sound no most number who over
know
"""


def add_arguments(parser: argparse.ArgumentParser, rows: int) -> None:
    """What all of them take."""
    parser.add_argument("--rows", type=int, default=rows)
    parser.add_argument("--output", type=Path, help="JSON file for the results")


def median_seconds(function: Callable, repeats: int = 5, warm: int = 1) -> float:
    """Median time of a call, after `warm` calls that are not counted."""
    for _ in range(warm):
        function()
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        function()
        times.append(time.perf_counter() - begun)
    return float(np.median(times))


def matrix_rate(precision: str = "float32", size: int = 2048) -> float:
    """Floating-point operations per second of a large matrix product, the best engine's.

    `openvino` where it is installed, in the asked precision; else NumPy, in float32.
    """
    generator = np.random.default_rng(0)
    a, b = (generator.normal(size=(size, size)).astype("float32") for _ in range(2))
    rates = [] if precision != "float32" else [2 * size**3 / median_seconds(lambda: a @ b)]
    if engine_problem("openvino"):
        return max(rates)
    from keras_mm.features.engines.openvino_network import load_openvino

    openvino = load_openvino()
    ops = openvino.opset13
    left = ops.parameter([size, size], np.float32)
    model = openvino.Model([ops.matmul(left, ops.constant(b), False, False)], [left])
    hint = {"INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[precision]}
    request = openvino.Core().compile_model(model, "CPU", hint).create_infer_request()
    seconds = median_seconds(lambda: request.infer([a], share_inputs=True))
    return max([*rates, 2 * size**3 / seconds])


def draw_rows(
    folder: Path, rows: int, *, image_size: tuple[int, int] = (900, 1200), words: int = 50
) -> pd.DataFrame:
    """A table of pairs as the entailment data has them: two photos, two tweets, three labels.

    Args:
        folder: Where the images are written, as JPEG.
        rows: How many; all images and texts differ.
        image_size: `(height, width)` in pixels.
        words: Words of a text, on average.
    """
    generator = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    height, width = image_size
    grain = generator.normal(0, 5, (2 * height, 2 * width, 1))
    found = {}
    for slot in (1, 2):
        paths, texts = [], []
        for row in range(rows):
            path = folder / f"{row:06d}-{slot}.jpg"
            coarse = generator.integers(0, 256, (max(height // 60, 2), max(width // 60, 2), 3))
            photo = Image.fromarray(coarse.astype("uint8")).resize((width, height), Image.BICUBIC)
            y, x = generator.integers(0, height), generator.integers(0, width)
            noisy = np.asarray(photo, "float32") + grain[y : y + height, x : x + width]
            Image.fromarray(noisy.clip(0, 255).astype("uint8")).save(path, quality=85)
            paths.append(str(path))
            count = max(1, int(generator.normal(words, words / 5)))
            texts.append(" ".join([*generator.choice(_WORDS.split(), count), str(row)]))
        found[f"image_{slot}"], found[f"text_{slot}"] = paths, texts
    labels = ["NoEntailment", "Implies", "Contradictory"]
    # Every class at once, so that the smallest table can be split.
    found["label"] = [labels[row % 13 if row % 13 < 3 else 0] for row in range(rows)]
    return pd.DataFrame(found)


def run_child(script: str, arguments: list, backend: str, **environment: str) -> dict:
    """What a benchmark prints as JSON in its last line, run as a process of its own."""
    command = [sys.executable, script, *map(str, arguments)]
    env = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3", **environment}
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.strip().splitlines()[-1])


def report(results: Mapping[str, Mapping], output: Path | None) -> None:
    """Prints results, a row for each name, and writes them with the machine as JSON."""
    table = pd.DataFrame.from_dict(results, orient="index")
    print(table.to_string(float_format=lambda value: f"{value:,.4g}"))
    if output is not None:
        text = json.dumps({"machine": machine(), "results": results}, indent=2)
        output.write_text(text + "\n", encoding="utf-8")


def machine() -> dict:
    """What the figures were taken on."""
    packages = ("keras", "keras-hub", "tensorflow", "jax", "torch", "openvino")
    versions = {}
    for name in packages:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    model = platform.processor()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.split(":")[1].strip() for line in lines if "model name" in line), model)
    return {"processor": model, "cores": os.cpu_count(), "system": platform.platform(), **versions}
