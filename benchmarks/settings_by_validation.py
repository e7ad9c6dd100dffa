"""Chooses `compare` and `modality_dropout` by validation rows alone, then scores the choice.

    KERAS_BACKEND=jax python benchmarks/settings_by_validation.py emoji_group.csv \
        --images image_1,image_2 --texts text_1,text_2 --seeds 10,11 --test-seeds 10,11,12,13 \
        --vision-weights W.h5 --text-weights FOLDER

Encodes the table once with the frozen encoders of `mobilenet_v2_minilm`, then trains the rest for
every candidate, by the table's `split` column or in five folds with a tenth of each fold's training
rows held out. Test rows are looked at for the chosen candidate, and for the texts alone, only.
"""

import argparse

import keras
import numpy as np
from sklearn.metrics import f1_score

import keras_mm
from keras_mm.data.dataset import RowBatches
from keras_mm.data.preprocessor import Preprocessor
from keras_mm.data.rows import read_rows
from keras_mm.features.engine import encode_rows
from keras_mm.heads import Head
from keras_mm.models.fusion import create_fusion
from keras_mm.models.trunk import create_trunk
from keras_mm.training.trainer import Trainer

CANDIDATES = [(compare, rate) for compare in (True, False) for rate in (0.0, 0.15, 0.3, 0.45)]


def main() -> None:
    options = arguments()
    table = keras_mm.load_table(options.table)
    table = table[table[options.labels].notna()].reset_index(drop=True)
    features, labels = encoded(table, options)
    by_column = "split" in table.columns
    scores = {}
    for compare, rate in CANDIDATES:
        found = [
            run(table, features, labels, seed, by_column, compare=compare, rate=rate)[0]
            for seed in options.seeds
        ]
        scores[compare, rate] = np.mean(found, axis=0)
        accuracy, macro_f1 = scores[compare, rate]
        print(
            f"compare={compare!s:5} modality_dropout={rate:<4}  validation: accuracy "
            f"{accuracy:.4f}, macro-F1 {macro_f1:.4f}",
            flush=True,
        )
    compare, rate = max(scores, key=lambda candidate: scores[candidate][1])
    print(f"chosen by macro-F1: compare={compare}, modality_dropout={rate}")
    for name, sides in (("images and texts", ("vision", "text")), ("texts alone", ("text",))):
        found = np.array(
            [
                run(table, features, labels, seed, by_column, sides, compare=compare, rate=rate)[1]
                for seed in options.test_seeds
            ]
        )
        (accuracy, macro_f1), spread = found.mean(axis=0), found.std(axis=0, ddof=1)
        print(
            f"{name}, {len(found)} seeds, test: accuracy {accuracy:.4f} +- {spread[0]:.4f}, "
            f"macro-F1 {macro_f1:.4f} +- {spread[1]:.4f}; each: {found.round(4).tolist()}"
        )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table")
    parser.add_argument("--labels", default="label")
    for name in ("--images", "--texts"):
        parser.add_argument(name, required=True, type=lambda text: text.split(","))
    for name in ("--seeds", "--test-seeds"):
        parser.add_argument(name, required=True, type=lambda text: list(map(int, text.split(","))))
    parser.add_argument("--vision-weights", default="pretrained")
    parser.add_argument("--text-weights", default="pretrained")
    parser.add_argument("--sequence-length", type=int, default=64)
    return parser.parse_args()


def encoded(table, options) -> tuple[dict, np.ndarray]:
    """Pooled features by side, and encoded labels."""
    preset = keras_mm.get_preset("mobilenet_v2_minilm")
    local = options.text_weights != "pretrained"
    preprocessor = Preprocessor(
        image_size=preset.image_size,
        num_images=len(options.images),
        tokenizer=options.text_weights if local else preset.text_backbone,
        sequence_length=options.sequence_length,
        num_texts=len(options.texts),
        text_pairing=preset.text_pairing,
    )
    encoders = {
        "vision": keras_mm.create_vision_encoder(
            preset.vision_backbone,
            weights=options.vision_weights,
            image_size=preset.image_size,
            num_images=len(options.images),
        ),
        "text": keras_mm.create_text_encoder(
            preset.text_backbone,
            weights=options.text_weights,
            sequence_length=options.sequence_length,
            text_pairing=preset.text_pairing,
            pooling=preset.text_pooling,
        ),
    }
    classes = sorted(table[options.labels].unique())
    rows = read_rows(
        table, images=options.images, texts=options.texts, labels=options.labels, classes=classes
    )
    found = encode_rows(encoders, rows, preprocessor)
    return {side: found[f"{side}_pooled_output"] for side in encoders}, rows.labels


def run(table, features, labels, seed, by_column, sides=("vision", "text"), **settings) -> list:
    """`(accuracy, macro-F1)` on the validation rows and on the test rows, pooled over the folds."""
    pooled: dict[str, list] = {"val": [], "test": []}
    for train, *held in splits(table, seed, by_column):
        chosen = {side: features[side] for side in sides}
        model = trained(chosen, labels, train, held[0], seed, **settings)
        for name, positions in zip(pooled, held, strict=True):
            logits = model.predict(batches(chosen, labels, positions), verbose=0)
            pooled[name].append((labels[positions], logits.argmax(axis=1)))
    scores = []
    for parts in pooled.values():
        truth, answer = map(np.concatenate, zip(*parts, strict=True))
        scores.append((np.mean(truth == answer), f1_score(truth, answer, average="macro")))
    return scores


def splits(table, seed: int, by_column: bool):
    """Positions of training, validation and test rows."""
    if by_column:
        names = table["split"].to_numpy()
        yield tuple(np.flatnonzero(names == name) for name in ("train", "val", "test"))
        return
    for rest, test in keras_mm.stratified_k_fold(table, "label", num_folds=5, seed=seed):
        train, val, _ = keras_mm.stratified_split(rest, "label", val_size=0.1, seed=seed)
        yield tuple(part.index.to_numpy() for part in (train, val, test))


def trained(features, labels, train, val, seed: int, *, compare: bool, rate: float):
    keras.utils.set_random_seed(seed)
    symbolic = {
        side: {"pooled_output": keras.KerasTensor((None, *value.shape[1:]))}
        for side, value in features.items()
    }
    model = create_trunk(
        symbolic,
        {"label": Head(classes=int(labels.max()) + 1)},
        fusion=create_fusion("concat"),
        compare=compare,
        modality_dropout=rate,
    )
    trainer = Trainer(model, epochs=20, warmup=0.1, clipnorm=1.0, seed=seed, verbose=0)
    trainer.fit(
        batches(features, labels, train, shuffle=True, seed=seed), batches(features, labels, val)
    )
    return model


def batches(features, labels, positions, **options) -> RowBatches:
    masks = {"vision": "image_mask", "text": "text_mask"}
    arrays = {f"{side}_pooled_output": value[positions] for side, value in features.items()}
    for side, value in features.items():
        arrays[masks[side]] = np.ones((len(positions), value.shape[1]), bool)
    return RowBatches(arrays, labels=labels[positions], batch_size=32, **options)


if __name__ == "__main__":
    main()
