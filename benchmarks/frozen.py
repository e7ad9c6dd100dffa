"""For the benchmarks: frozen encoders run once over a table; the rest is trained many times."""

import argparse

import keras
import numpy as np

import keras_mm
from keras_mm.data.dataset import RowBatches
from keras_mm.data.preprocessor import Preprocessor
from keras_mm.data.tables.rows import read_rows
from keras_mm.features.encode import encode_rows
from keras_mm.features.store.store import open_store
from keras_mm.models.multimodal import input_names, parts
from keras_mm.training.trainer import Trainer

SIDES = ("vision", "text")


def names(text: str) -> list[str]:
    """The type of arguments that are lists of names."""
    return [name for name in text.split(",") if name]


def numbers(text: str) -> list[int]:
    """The type of arguments that are lists of numbers."""
    return [int(number) for number in names(text)]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The table and the weights."""
    parser.add_argument("table")
    parser.add_argument("--labels", default="label")
    parser.add_argument("--groups", help="rows with the same value here stay in one fold")
    parser.add_argument("--images", required=True, type=names)
    parser.add_argument("--texts", required=True, type=names)
    parser.add_argument("--vision-weights", default="pretrained")
    parser.add_argument("--text-weights", default="pretrained")
    parser.add_argument("--sequence-length", type=int, default=64)
    parser.add_argument("--image-size", type=int, default=128, help="side in pixels")


class FrozenTable:
    """A table and what the frozen encoders of `mobilenet_v2_minilm` give for it.

    Args:
        options: Arguments of `add_arguments`.
        tokens: Whether token sequences are kept besides the pooled vectors, for fusions of tokens;
            texts are then packed, as `mmbt` asks for.
    """

    def __init__(self, options: argparse.Namespace, *, tokens: bool = False):
        preset = keras_mm.get_preset("mobilenet_v2_minilm")
        table = keras_mm.load_table(options.table)
        self.table = table[table[options.labels].notna()].reset_index(drop=True)
        self.groups, self.label_column = options.groups, options.labels
        self.classes = sorted(self.table[options.labels].unique())
        rows = read_rows(
            self.table, images=options.images, texts=options.texts, labels=options.labels,
            classes=self.classes,
        )  # fmt: skip
        pairing = preset.text_pairing if len(options.texts) > 1 and not tokens else "packed"
        local = options.text_weights != "pretrained"
        preprocessor = Preprocessor(
            image_size=(options.image_size, options.image_size),
            num_images=len(options.images),
            tokenizer=options.text_weights if local else preset.text_backbone,
            sequence_length=options.sequence_length,
            num_texts=len(options.texts),
            text_pairing=pairing,
        )
        self.encoders = {
            "vision": keras_mm.create_vision_encoder(
                preset.vision_backbone,
                weights=options.vision_weights,
                image_size=(options.image_size, options.image_size),
                num_images=len(options.images),
            ),
            "text": keras_mm.create_text_encoder(
                preset.text_backbone,
                weights=options.text_weights,
                sequence_length=options.sequence_length,
                text_pairing=pairing,
                pooling=preset.text_pooling,
            ),
        }
        kinds = ("pooled_output", "sequence_output", "sequence_mask")[: 3 if tokens else 1]
        wanted = [f"{side}_{kind}" for side in SIDES for kind in kinds]
        self.labels = rows.labels["label"]
        self.arrays = {
            **preprocessor.masks_and_tokens(rows),
            **encode_rows(self.encoders, rows, preprocessor, names=wanted, store=open_store(True)),
        }

    def splits(self, seed: int):
        """Positions of training, validation and test rows: by the column `split`, or five folds."""
        if "split" in self.table.columns:
            parts_of = self.table["split"].to_numpy()
            yield tuple(np.flatnonzero(parts_of == name) for name in ("train", "val", "test"))
            return
        options = {"groups": self.groups, "seed": seed}
        folds = keras_mm.stratified_k_fold(self.table, self.label_column, num_folds=5, **options)
        for rest, test in folds:
            train, val, _ = keras_mm.stratified_split(
                rest, self.label_column, val_size=0.1, **options
            )
            yield tuple(part.index.to_numpy() for part in (train, val, test))

    def trained(
        self,
        train,
        val,
        seed: int,
        *,
        sides=SIDES,
        epochs: int = 20,
        min_epochs: int = 1,
        **options,
    ):
        """A new trunk, trained on the rows at `train`; options of `create_multimodal_model`."""
        keras.utils.set_random_seed(seed)
        chosen = [self.encoders[side] if side in sides else None for side in SIDES]
        trunk = parts(keras_mm.create_multimodal_model(*chosen, len(self.classes), **options)).trunk
        trainer = Trainer(
            trunk,
            epochs=epochs,
            min_epochs=min_epochs,
            warmup=0.1,
            clipnorm=1.0,
            seed=seed,
            verbose=0,
        )
        trainer.fit(self.batches(trunk, train, shuffle=True, seed=seed), self.batches(trunk, val))
        return trunk

    def answers(self, trunk, positions, *, hidden=None) -> np.ndarray:
        """Classes that the trunk gives the rows; `hidden` (bool, by row) lack their images."""
        batches = self.batches(trunk, positions)
        if hidden is not None:
            batches.arrays["image_mask"] = batches.arrays["image_mask"] & ~hidden[:, None]
        return trunk.predict(batches, verbose=0).argmax(axis=1)

    def batches(self, trunk, positions, **options) -> RowBatches:
        """The rows at `positions` as inputs of the trunk, and their labels."""
        arrays = {name: self.arrays[name][positions] for name in input_names(trunk)}
        return RowBatches(arrays, labels=self.labels[positions], batch_size=32, **options)
