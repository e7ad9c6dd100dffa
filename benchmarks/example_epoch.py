"""An epoch of Keras' multimodal-entailment example as its page runs it, against this package's.

    python benchmarks/example_epoch.py --vocabulary vocab.txt [--rows 1000] [--output FILE.json]

Both have the same drawn rows, split as on the page (855, 45 and 100 of 1000), and ResNet50V2 and
BERT-base of random weights. The example is rebuilt from its page: images by scikit-image at full
size, texts row by row, all padded to 256 tokens, float32, frozen encoders run in every step. It is
timed by the median of some steps (`--steps`) after the first, and reckoned up to an epoch with its
evaluation of the test rows. This package's epoch is timed as a whole, `fit` and the answers for
the test rows: reading, checking, building, compiling, encoding, training; with an empty cache.
`converted` is the same without what is done once on a machine, converting the encoders for
OpenVINO. What follows finds the features in the cache: `later epoch`; `new process` (ten epochs of
another loss and seed by an estimator of its own, with building the encoders, by epoch); `next loss`
and `next seed` (the same by an estimator that has trained before, which keeps its encoders, and
where only the seed differs its compiled step).
"""

import argparse
import json
import math
import os
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
from common import add_arguments, draw_rows, report, run_child

SIZE, LENGTH, BATCH = (128, 128), 256, 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vocabulary", required=True, help="vocab.txt of an uncased BERT")
    parser.add_argument("--steps", type=int, default=4, help="timed steps of the example")
    parser.add_argument("--example-backends", default="jax,tensorflow")
    parser.add_argument("--backend", default="tensorflow", help="of this package")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    add_arguments(parser, 1000)
    options = parser.parse_args()
    if options.child:
        found = {"example": example, "ours": ours, "weights": weights}[options.child](options)
        print(json.dumps(found))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        draw_rows(folder / "images", options.rows).to_pickle(folder / "rows.pickle")
        shutil.copy(options.vocabulary, folder / "vocab.txt")
        arguments = ["--folder", folder, "--rows", options.rows, "--steps", options.steps]
        arguments += ["--vocabulary", options.vocabulary]
        run_child(__file__, [*arguments, "--child", "weights"], options.backend)
        results = {
            f"example, {backend}": run_child(__file__, [*arguments, "--child", "example"], backend)
            for backend in options.example_backends.split(",")
        }
        for precision in ("float32", "bfloat16"):
            cache = {"KERAS_MM_CACHE": str(folder / f"cache-{precision}"), "PRECISION": precision}
            results[f"keras_mm, {options.backend}, {precision}"] = run_child(
                __file__, [*arguments, "--child", "ours"], options.backend, **cache
            )
    for label, row in results.items():
        for backend in options.example_backends.split(","):
            theirs = results[f"example, {backend}"]["epoch"]
            if label.startswith("keras_mm"):
                row[f"epoch, times {backend}"] = theirs / row["epoch"]
                row[f"converted, times {backend}"] = theirs / row["converted"]
                ten = row["epoch"] + 9 * row["later epoch"]
                row[f"ten epochs, times {backend}"] = 10 * theirs / ten
                for name in ("new process", "next loss", "next seed"):
                    row[f"{name}, times {backend}"] = theirs / row[name]
    report(results, options.output)


def _split(options):
    """Training, validation and test rows, as many as on the page."""
    import pandas as pd

    table = pd.read_pickle(options.folder / "rows.pickle")
    test = round(0.1 * len(table))
    val = round(0.05 * (len(table) - test))
    return table[test + val :], table[test : test + val], table[:test]


def weights(options) -> dict:
    """Writes random weights of both networks, so that every run of the estimator has the same."""
    from keras_mm.models.backbones.lookup import text_backbone, vision_backbone

    texts = text_backbone("bert_base_en_uncased", "random")
    texts.save_weights(options.folder / "bert.weights.h5")
    images, _ = vision_backbone("resnet50v2", "random", SIZE)
    images.save_weights(options.folder / "resnet.weights.h5")
    return {}


def example(options) -> dict:
    """Seconds of the example's parts."""
    import keras
    import keras_hub
    from skimage.io import imread
    from skimage.transform import resize

    train, _, test = _split(options)
    tokenizer = keras_hub.tokenizers.BertTokenizer(vocabulary=options.vocabulary, lowercase=True)
    preprocessor = keras_hub.models.BertTextClassifierPreprocessor(
        tokenizer, sequence_length=LENGTH // 2
    )
    names = ("padding_mask", "segment_ids", "token_ids")
    codes = {"Contradictory": 0, "Implies": 1, "NoEntailment": 2}

    class Rows(keras.utils.PyDataset):
        def __init__(self, table):
            super().__init__(workers=4, use_multiprocessing=False, max_queue_size=10)
            self.table = table

        def __len__(self):
            return math.ceil(len(self.table) / BATCH)

        def __getitem__(self, index):
            rows = self.table[index * BATCH : (index + 1) * BATCH]
            batch = {"image_1": [], "image_2": [], **{name: [] for name in names}}
            for row in rows.itertuples():
                for slot, path in (("image_1", row.image_1), ("image_2", row.image_2)):
                    batch[slot].append(resize(imread(path), SIZE))
                found = preprocessor([row.text_1, row.text_2])
                for name in names:
                    batch[name].append(np.asarray(found[name]).reshape(LENGTH))
            inputs = {name: np.asarray(value, "float32") for name, value in batch.items()}
            for name in names:
                inputs[name] = inputs[name].astype("int32")
            return inputs, np.asarray([codes[label] for label in rows["label"]])

    def project(x, layers=1, dims=256, rate=0.1):
        projected = keras.layers.Dense(dims)(x)
        for _ in range(layers):
            x = keras.ops.nn.gelu(projected)
            x = keras.layers.Dense(dims)(x)
            x = keras.layers.Dropout(rate)(x)
            x = keras.layers.Add()([projected, x])
            projected = keras.layers.LayerNormalization()(x)
        return projected

    resnet = keras.applications.ResNet50V2(include_top=False, weights=None, pooling="avg")
    resnet.trainable = False
    images = [keras.Input((*SIZE, 3), name=f"image_{slot}") for slot in (1, 2)]
    encoded = [resnet(keras.applications.resnet_v2.preprocess_input(x)) for x in images]
    bert = keras_hub.models.BertBackbone(
        vocabulary_size=30522, num_layers=12, num_heads=12, hidden_dim=768, intermediate_dim=3072
    )
    bert.trainable = False
    texts = {name: keras.Input((LENGTH,), dtype="int32", name=name) for name in names}
    both = [
        project(keras.layers.Concatenate()(encoded)),
        project(bert(texts)["pooled_output"]),
    ]
    answers = keras.layers.Dense(3, activation="softmax")(keras.layers.Concatenate()(both))
    inputs = {"image_1": images[0], "image_2": images[1], **texts}
    model = keras.Model(inputs, answers)
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])

    stamps = []

    class Clock(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            stamps.append(time.perf_counter())

        on_test_batch_end = on_train_batch_end

    count = (options.steps + 1) * BATCH
    begun = time.perf_counter()
    model.fit(Rows(train[:count]), epochs=1, verbose=0, callbacks=[Clock()])
    first, step = stamps[0] - begun, float(np.median(np.diff(stamps)))
    stamps.clear()
    begun = time.perf_counter()
    model.evaluate(Rows(test[: 2 * BATCH]), verbose=0, callbacks=[Clock()])
    test_first, test_step = stamps[0] - begun, float(np.median(np.diff(stamps)))
    steps, tests = math.ceil(len(train) / BATCH), math.ceil(len(test) / BATCH)
    epoch = first + (steps - 1) * step + test_first + (tests - 1) * test_step
    return {"epoch": epoch, "first step": first, "step": step, "test step": test_step}


def ours(options) -> dict:
    """Seconds of this package's parts."""
    import keras_mm

    train, val, test = _split(options)
    settings = {
        "preset": "resnet50v2_bert_base",
        "folds": 1,
        "vision_weights": str(options.folder / "resnet.weights.h5"),
        "text_weights": str(options.folder / "bert.weights.h5"),
        "images": ["image_1", "image_2"],
        "texts": ["text_1", "text_2"],
        "image_size": SIZE,
        "sequence_length": LENGTH,
        "precision": os.environ["PRECISION"],
        "early_stopping": False,
        "verbose": 0,
    }

    def run(classifier=None, **changes) -> float:
        begun = time.perf_counter()
        classifier = classifier or keras_mm.MultimodalClassifier(**settings)
        classifier.set_params(**changes).fit(train, validation_data=val).predict(test)
        return time.perf_counter() - begun

    cache = Path(os.environ["KERAS_MM_CACHE"])
    epoch = run(epochs=1)
    for shelf in (cache / "features").glob("*_output"):
        shutil.rmtree(shelf)  # the converted encoders stay
    converted = run(epochs=1)
    one, ten = run(epochs=1), run(epochs=10)
    other = run(epochs=10, loss="focal", seed=1)
    same = keras_mm.MultimodalClassifier(**settings)
    run(same, epochs=10)
    next_loss = run(same, loss="focal", seed=1)
    next_seed = float(np.median([run(same, seed=seed) for seed in (2, 3, 4)]))
    return {
        "epoch": epoch,
        "converted": converted,
        "cached": one,
        "later epoch": (ten - one) / 9,
        "new process": other / 10,
        "next loss": next_loss / 10,
        "next seed": next_seed / 10,
    }


if __name__ == "__main__":
    main()
