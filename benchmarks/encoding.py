"""How near encoding comes to the speed of the machine's matrix products.

    python benchmarks/encoding.py --vocabulary vocab.txt [--rows 1000] [--output FILE.json]

Drawn rows of two photos and a pair of tweets through ResNet50V2 (128 px) and BERT-base of random
weights, decoding and tokenising included, nothing cached. The floor is the operations that the
texts' true lengths and the images ask for, at the rate of a large matrix product in the same
precision, measured in the same run. Set KERAS_BACKEND for the backend of the engine `keras`.
"""

import argparse
import math
import tempfile
import time
from pathlib import Path

import keras
import numpy as np
from common import add_arguments, draw_rows, matrix_rate, report

import keras_mm
from keras_mm.data.preprocessor import Preprocessor
from keras_mm.data.tables.rows import read_rows
from keras_mm.features.encode import encode_rows
from keras_mm.features.engines.choice import choose_engine, create_network
from keras_mm.features.store.store import FeatureStore
from keras_mm.models.keras_settings import build_settings

SIZE, LENGTH = (128, 128), 256


def image_operations(network: keras.Model) -> float:
    """Multiplications and additions of the convolutions for one image."""
    found = 0.0
    for layer in network.layers:
        if isinstance(layer, keras.layers.Conv2D):
            found += 2 * math.prod(layer.kernel.shape) * math.prod(layer.output.shape[1:3])
    return found


def text_operations(lengths: np.ndarray, layers: int = 12, width: int = 768) -> float:
    """Multiplications and additions of BERT's layers for texts of so many tokens."""
    per_token = 2 * (4 * width * width + 2 * width * 4 * width)
    return float(layers * (per_token * lengths + 4 * lengths**2 * width).sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vocabulary", required=True, help="vocab.txt of an uncased BERT")
    parser.add_argument("--engines", default="keras,openvino")
    add_arguments(parser, 1000)
    options = parser.parse_args()
    results = {}
    with tempfile.TemporaryDirectory() as name:
        table = draw_rows(Path(name, "images"), options.rows)
        columns = {"images": ["image_1", "image_2"], "texts": ["text_1", "text_2"]}
        rows = read_rows(table, **columns)
        preprocessor = Preprocessor(
            image_size=SIZE, num_images=2, tokenizer=options.vocabulary, sequence_length=LENGTH,
            num_texts=2,
        )  # fmt: skip
        lengths = preprocessor.masks_and_tokens(rows)["padding_mask"].sum(axis=1)
        for precision in ("float32", "bfloat16"):
            with build_settings("mixed_bfloat16" if precision == "bfloat16" else "float32"):
                encoders = {
                    "vision": keras_mm.create_vision_encoder(
                        "resnet50v2", weights="random", image_size=SIZE
                    ),
                    "text": keras_mm.create_text_encoder(
                        "bert_base_en_uncased", weights="random", sequence_length=LENGTH
                    ),
                }
            network = next(la for la in encoders["vision"].layers if isinstance(la, keras.Model))
            operations = {
                "vision": 2 * options.rows * image_operations(network),
                "text": text_operations(lengths.astype(float)),
            }
            rate = matrix_rate(precision)
            floor = sum(operations.values()) / rate
            for engine in options.engines.split(","):
                if engine == "keras" and precision == "bfloat16":
                    continue
                seconds = {}
                for side, encoder in encoders.items():
                    # Compiled and converted beforehand, as a second table finds them.
                    store = FeatureStore(Path(name, "store"))
                    chosen = choose_engine(encoder, engine, store)
                    create_network(encoder, ("pooled_output",), chosen, store)
                    few = read_rows(table[:32], **columns)
                    encode_rows({side: encoder}, few, preprocessor, engine=engine, progress=False)
                    begun = time.perf_counter()
                    encode_rows({side: encoder}, rows, preprocessor, engine=engine, progress=False)
                    seconds[side] = time.perf_counter() - begun
                total = sum(seconds.values())
                results[f"{engine}, {precision}"] = {
                    "images": seconds["vision"],
                    "texts": seconds["text"],
                    "rows per second": options.rows / total,
                    "matrix GFLOP/s": rate / 1e9,
                    "TFLOP": sum(operations.values()) / 1e12,
                    "floor": floor,
                    "times the floor": total / floor,
                }
    report(results, options.output)


if __name__ == "__main__":
    main()
