"""Prediction: one row against the bare compiled model, and many short texts against transformers.

    python benchmarks/prediction.py --vision-weights FILE.h5 --text-weights FOLDER \
        [--texts 10000] [--output FILE.json]

The weights are those of `mobilenet_v2_minilm`. A model is trained for an epoch on drawn rows. `one
row` is `predict` of a dict with two paths and two texts, from files to label; `bare` is the
compiled model alone, on inputs that are made already, texts padded to `--length`; `bare, short` the
same with texts cut to the row's own bucket, as `predict` does; `SavedModel` is its export, from
bytes and strings. `texts` are encoded to their pooled vectors, by this package and by
`transformers` (if it is installed) with the same weights, length (`--length`) and batches of 32,
texts in their order.
Set KERAS_BACKEND for the backend.
"""

import argparse
import contextlib
import tempfile
import time
from pathlib import Path

# `transformers` may load Triton, of PyTorch's CUDA build; after TensorFlow that ends the process.
with contextlib.suppress(ImportError):
    import triton  # noqa: F401

import keras
import numpy as np
from common import add_arguments, draw_rows, median_seconds, report

import keras_mm
from keras_mm.data.preprocessor import Preprocessor
from keras_mm.data.tables.rows import read_rows
from keras_mm.features.encode import encode_rows
from keras_mm.features.store.store import FeatureStore


def bare_call(model: keras.Model):
    """The model compiled by its backend, from NumPy to NumPy."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        compiled = tf.function(lambda x: model(x, training=False), autograph=False)
        return lambda inputs: compiled(inputs).numpy()
    if keras.backend.backend() == "jax":
        import jax

        compiled = jax.jit(lambda t, n, x: model.stateless_call(t, n, x, training=False)[0])
        weights = [
            [v.value for v in variables]
            for variables in (model.trainable_variables, model.non_trainable_variables)
        ]
        return lambda inputs: np.asarray(compiled(*weights, inputs))
    import torch

    def call(inputs):
        with torch.inference_mode():
            return model({n: torch.from_numpy(x) for n, x in inputs.items()}).numpy()

    return call


def one_row(options, folder: Path) -> dict:
    """Milliseconds of an answer."""
    table = draw_rows(folder / "images", options.rows, image_size=(300, 400), words=12)
    classifier = keras_mm.MultimodalClassifier(
        vision_weights=options.vision_weights, text_weights=options.text_weights,
        image_size=128, sequence_length=options.length, epochs=1, engine="keras", folds=1,
        verbose=0,
    ).fit(table)  # fmt: skip
    row = table.iloc[0].to_dict()
    prepared = classifier.preprocessor_(
        read_rows(row, images=["image_1", "image_2"], texts=["text_1", "text_2"])
    )
    tokens = -(-int(prepared["padding_mask"].sum(-1).max()) // 16) * 16
    short = {
        name: x[..., :tokens] if name in ("token_ids", "segment_ids", "padding_mask") else x
        for name, x in prepared.items()
    }
    call = bare_call(classifier.model_)
    found = {}
    classifier.export(folder / "export")
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        served = tf.saved_model.load(str(folder / "export")).signatures["serving_default"]
        raw = {
            name: tf.constant([Path(value).read_bytes() if name[:5] == "image" else value])
            for name, value in row.items()
            if name != "label"
        }
        found["SavedModel"] = 1e3 * median_seconds(lambda: served(**raw), 25, 5)
    # In turns, so that what else the machine does touches both.
    times = [
        (
            median_seconds(lambda: classifier.predict(row), 9, 2),
            median_seconds(lambda: call(prepared), 9, 2),
            median_seconds(lambda: call(short), 9, 2),
        )
        for _ in range(5)
    ]
    ours, bare, least = np.median(times, axis=0) * 1e3
    ratio = float(np.median([a / b for a, b, _ in times]))
    return {
        "keras_mm": ours, "bare": bare, "bare, short": least, **found, "times bare": ratio
    }  # fmt: skip


def many_texts(options) -> dict:
    """Texts a second, by this package and by transformers."""
    generator = np.random.default_rng(1)
    words = Path(options.text_weights, "vocab.txt").read_text(encoding="utf-8").split()
    words = [word for word in words if word.isascii() and word.isalpha()]
    texts = [
        " ".join(generator.choice(words, generator.integers(4, 21))) for _ in range(options.texts)
    ]
    preprocessor = Preprocessor(
        tokenizer=options.text_weights, sequence_length=options.length, num_texts=1
    )
    encoder = keras_mm.create_text_encoder(
        "all_minilm_l6_v2", weights=options.text_weights, sequence_length=options.length
    )
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        rows = read_rows([{"text": text} for text in texts], texts=["text"])
        for engine in ("keras", "openvino"):
            run = {"engine": engine, "progress": False}
            store = FeatureStore(folder)
            encode_rows({"text": encoder}, rows.take(range(2000)), preprocessor, store=store, **run)
            begun = time.perf_counter()
            ours = encode_rows({"text": encoder}, rows, preprocessor, **run)
            seconds = time.perf_counter() - begun
            found[f"keras_mm, {engine}"] = {"texts per second": len(texts) / seconds}
    try:
        import torch
        import transformers
    except ImportError:
        return found
    tokenizer = transformers.AutoTokenizer.from_pretrained(options.text_weights)
    model = transformers.AutoModel.from_pretrained(options.text_weights).eval()

    def embed(batch):
        inputs = tokenizer(
            batch, padding=True, truncation=True, max_length=options.length, return_tensors="pt"
        )
        with torch.inference_mode():
            hidden = model(**inputs).last_hidden_state
        mask = inputs["attention_mask"][..., None]
        return ((hidden * mask).sum(1) / mask.sum(1)).numpy()

    embed(texts[:32])
    begun = time.perf_counter()
    theirs = np.concatenate([embed(texts[i : i + 32]) for i in range(0, len(texts), 32)])
    seconds = time.perf_counter() - begun
    found["transformers"] = {"texts per second": len(texts) / seconds}
    # KerasHub's BERT approximates gelu, which is the larger part of this.
    distance = float(np.abs(np.asarray(ours["text_pooled_output"])[:, 0] - theirs).max())
    for name, row in found.items():
        if name != "transformers":
            row["times transformers"] = (
                row["texts per second"] / found["transformers"]["texts per second"]
            )
            row["largest difference"] = distance
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vision-weights", default="pretrained")
    parser.add_argument("--text-weights", default="pretrained")
    parser.add_argument("--texts", type=int, default=10_000)
    parser.add_argument("--length", type=int, default=64)
    add_arguments(parser, 96)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results = {"one row, ms": one_row(options, Path(folder))}
    report({**results, **many_texts(options)}, options.output)


if __name__ == "__main__":
    main()
