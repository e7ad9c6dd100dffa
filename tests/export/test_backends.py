"""The same weights give the same answers on every backend, in fresh processes, and exported."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import keras_mm
from keras_mm.data.samples import load_sample_data
from keras_mm.presets.presets import FUSIONS

# What is trained and asked in this process runs eagerly; the backends' own processes do not.
pytestmark = [pytest.mark.slow, pytest.mark.eager]

BACKENDS = ["jax", "tensorflow", "torch"]
PACKAGE = Path(keras_mm.__file__).parents[1]
SCRIPT = Path(__file__).with_name("per_backend.py")
NUM_ROWS = 40  # more than a batch of the largest size that an export is checked with


@pytest.fixture(scope="module")
def runs(backends, minilm, tmp_path_factory):
    """A folder with what each backend wrote about the same saved models."""
    folder = tmp_path_factory.mktemp("backends")
    jobs = dict([*_sample_jobs(folder), *_real_jobs(folder, minilm)])
    (folder / "bundles.json").write_text(json.dumps(jobs))
    # All at once: much of their time is imports and compiling, which use one core each.
    processes = {}
    for backend in BACKENDS:
        environment = {**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": str(PACKAGE)}
        command = [sys.executable, str(SCRIPT), str(folder)]
        with open(folder / f"{backend}.log", "w") as log:
            processes[backend] = subprocess.Popen(
                command, env=environment, stdout=log, stderr=subprocess.STDOUT
            )
    failed = [backend for backend, process in processes.items() if process.wait() != 0]
    told = [(folder / f"{backend}.log").read_text()[-3000:] for backend in failed]
    assert not failed, f"{failed}: {told}"
    return folder, jobs


def _sample_jobs(folder: Path):
    """`tiny` with every fusion, after a few steps on the sample data."""
    train, test = load_sample_data()
    table = str(folder / "sample.parquet")
    rows = test[:NUM_ROWS].copy()
    # Rows that lack a modality take the way of their own through every fusion.
    rows["image_1"] = rows["image_1"].astype(object)
    rows.iloc[:9, rows.columns.get_loc("image_1")] = None
    rows.to_parquet(table)
    frozen = {"vision_trainable": False, "text_trainable": False}
    for fusion in FUSIONS:
        model = keras_mm.MultimodalClassifier(
            preset="tiny", fusion=fusion, epochs=1, verbose=0, **frozen
        )
        model.fit(train[:64], validation_split=0).save(folder / fusion)
        job = {"model": str(folder / fusion), "table": table, "export": []}
        yield fusion, {**job, "again": fusion == "bilinear"}


def _real_jobs(folder: Path, minilm: str):
    """Real rows, exported by each backend: pairs to pretrained encoders, and single cells."""
    root = Path(__file__).resolve().parents[3] / "shared"
    if not (root / "data").is_dir():
        return
    pretrained = {
        "vision_weights": str(root / "weights/mobilenet_v2_0.35_224_notop.weights.h5"),
        "text_weights": minilm, "sequence_length": 16, "image_size": 64,
        "folds": 2, "members": ["trunk", "linear:text"],
    }  # fmt: skip
    single = {"images": ["image"], "texts": ["question"], "preset": "tiny", "compare": False}
    for name, options, export in (
        ("emoji/emoji_pairs.csv", pretrained, ["tensorflow", "torch"]),
        ("vqa_rad/vqa_rad.csv", single, ["jax"]),
    ):
        table = keras_mm.load_table(root / "data" / name)
        table = table[table["label"].notna()]
        stem = Path(name).stem
        model = keras_mm.MultimodalClassifier(**options, engine="keras", epochs=1, verbose=0)
        model.fit(table[:48]).save(folder / stem)
        rows = _absolute(table[-NUM_ROWS:], root / "data" / Path(name).parent)
        rows.to_csv(folder / f"{stem}.csv", index=False)
        table = str(folder / f"{stem}.csv")
        yield stem, {"model": str(folder / stem), "table": table, "export": export, "again": False}


def _absolute(table: pd.DataFrame, folder: Path) -> pd.DataFrame:
    images = [c for c in table.columns if c.startswith("image")]
    return table.assign(**{c: [str(folder / cell) for cell in table[c]] for c in images})


def saved(folder: Path, backend: str, name: str):
    return np.load(folder / backend / f"{name}.npz")


def test_probabilities_agree_across_backends(runs):
    folder, jobs = runs
    for name in jobs:
        found = {b: saved(folder, b, name)["probabilities"] for b in BACKENDS}
        assert np.ptp(found["jax"], axis=0).max() > 1e-3, "the rows are answered differently"
        for backend in BACKENDS[1:]:
            difference = np.abs(found[backend] - found["jax"]).max()
            assert difference <= 1e-5, f"{name}: jax against {backend}: {difference:.1e}"


def test_loading_again_gives_the_same_answers(runs):
    folder, _ = runs
    for backend in BACKENDS:
        found = saved(folder, backend, "bilinear")
        np.testing.assert_allclose(found["again"], found["probabilities"], atol=1e-6)


def test_one_seed_gives_one_result_on_a_backend(runs):
    folder, _ = runs
    for backend in BACKENDS:
        assert bool(saved(folder, backend, "trained")["same"]), backend


def test_a_model_trained_on_one_backend_answers_the_same_on_another(runs):
    folder, _ = runs
    rows = load_sample_data()[1][:NUM_ROWS]
    for backend in BACKENDS:
        here = keras_mm.MultimodalClassifier.load(folder / backend / "trained")
        assert here.classes_.tolist() == ["Contradictory", "Implies", "NoEntailment"]
        there = saved(folder, backend, "trained")["probabilities"]
        np.testing.assert_allclose(here.predict_proba(rows), there, atol=1e-5)


def test_the_exports_of_every_backend_answer_as_their_models(runs):
    folder, jobs = runs
    for backend in BACKENDS:
        for name in [n for n in jobs if backend in jobs[n]["export"]] or ["trained"]:
            found = json.loads((folder / backend / f"{name}-export.json").read_text())
            assert found["backend"] == backend and found["batch_sizes"] == [1, 7, 32]
            assert found["labels_equal"] and found["max_difference"] <= 1e-4
            assert found["rows"] == NUM_ROWS
