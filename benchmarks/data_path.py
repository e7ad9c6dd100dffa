"""Decoding and tokenising: this package against the Keras example's way, on one thread each.

    python benchmarks/data_path.py --vocabulary vocab.txt [--rows 200] [--output FILE.json]

The example decodes with scikit-image at full size and resizes there; it tokenises row by row.
`difference` is the mean distance of the two results, in grey levels.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from common import add_arguments, draw_rows, median_seconds, report

from keras_mm.data.images.cells import load_image
from keras_mm.data.text.tokenizer import Tokenizer

SIZE, LENGTH = (128, 128), 256


def example_image(path: str) -> np.ndarray:
    """As the example does, but for its levels, which it leaves between 0 and 1."""
    from skimage.io import imread
    from skimage.transform import resize as skimage_resize

    return skimage_resize(imread(path), SIZE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vocabulary", required=True, help="vocab.txt of an uncased BERT")
    add_arguments(parser, 200)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        table = draw_rows(Path(folder), options.rows)
        paths = list(table["image_1"])
        few = paths[: max(10, options.rows // 10)]
        theirs = median_seconds(lambda: [example_image(p) for p in few], 3) / len(few)
        ours = median_seconds(lambda: [load_image(p, SIZE) for p in paths], 3) / len(paths)
        distance = np.mean(
            [np.abs(load_image(p, SIZE) - 255 * example_image(p)).mean() for p in few]
        )
    texts = list(table["text_1"]), list(table["text_2"])
    tokenizer = Tokenizer.load(options.vocabulary)
    by_rows = _example_tokenizing(options.vocabulary)
    count = min(100, options.rows)
    pairs = list(zip(*(column[:count] for column in texts), strict=True))
    their_tokens = median_seconds(lambda: [by_rows(pair) for pair in pairs], 3) / count
    our_tokens = median_seconds(lambda: tokenizer.pack(texts, LENGTH), 5) / options.rows
    report(
        {
            "decoding": {
                "example per second": 1 / theirs,
                "keras_mm per second": 1 / ours,
                "times": theirs / ours,
                "difference": distance,
            },
            "tokenising pairs": {
                "example per second": 1 / their_tokens,
                "keras_mm per second": 1 / our_tokens,
                "times": their_tokens / our_tokens,
            },
        },
        options.output,
    )


def _example_tokenizing(vocabulary: str):
    """The example's call: a pair of texts to KerasHub's preprocessor, row by row."""
    import keras_hub

    tokenizer = keras_hub.tokenizers.BertTokenizer(vocabulary=vocabulary, lowercase=True)
    preprocessor = keras_hub.models.BertTextClassifierPreprocessor(
        tokenizer, sequence_length=LENGTH // 2
    )

    def tokenize(pair):
        found = preprocessor(list(pair))
        return {name: np.asarray(value).reshape(LENGTH) for name, value in found.items()}

    return tokenize


if __name__ == "__main__":
    main()
