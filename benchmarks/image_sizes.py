"""Images a second that vision encoders read and encode, by image size; random weights.

    python benchmarks/image_sizes.py [--rows 192] [--output FILE.json]

Set KERAS_BACKEND for the backend.
"""

import argparse
import tempfile
from pathlib import Path

from common import add_arguments, draw_rows, median_seconds, report

import keras_mm
from keras_mm.data.preprocessor import Preprocessor
from keras_mm.data.tables.rows import read_rows
from keras_mm.features.encode import encode_rows

BACKBONES, SIZES = ("mobilenet_v2_0.35", "resnet50v2"), (128, 224)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser, rows=192)
    options = parser.parse_args()
    results: dict[str, dict] = {}
    with tempfile.TemporaryDirectory() as folder:
        table = draw_rows(Path(folder), options.rows, image_size=(600, 800))
        rows = read_rows(table, images=["image_1"], texts=[])
        for name in BACKBONES:
            for side in SIZES:
                size = (side, side)
                encoder = keras_mm.create_vision_encoder(
                    name, weights="random", image_size=size, num_images=1
                )
                preprocessor = Preprocessor(image_size=size, num_images=1)

                def encode(encoder=encoder, preprocessor=preprocessor):
                    names = ["vision_pooled_output"]
                    return encode_rows(
                        {"vision": encoder}, rows, preprocessor, names=names, engine="keras",
                        progress=False,
                    )  # fmt: skip

                rate = options.rows / median_seconds(encode, 3)
                results.setdefault(name, {})[f"{side} x {side}"] = rate
    report(results, options.output)


if __name__ == "__main__":
    main()
