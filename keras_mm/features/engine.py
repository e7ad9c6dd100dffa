"""The encoding engine: rows to features, each distinct input once, with little padding."""

from __future__ import annotations

import math
import weakref
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import keras
import numpy as np
from tqdm import tqdm

from keras_mm.data.images import image_key
from keras_mm.data.preprocessor import Preprocessor
from keras_mm.data.rows import Rows

_BUCKETS = (16, 32, 48, 64, 96, 128, 192, 256, 384, 512)
_TOKENS = ("token_ids", "segment_ids", "padding_mask")

# The part of an encoder that gives the wanted outputs, kept so that it is compiled once.
_reduced: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def encode_rows(
    encoders: Mapping[str, keras.Model],
    rows: Rows,
    preprocessor: Preprocessor,
    *,
    names: Sequence[str] | None = None,
    batch_size: int = 32,
    progress: bool = True,
) -> dict[str, np.ndarray]:
    """Features of rows, by the trunk's input names.

    Rows whose input to an encoder is the same are encoded once. Every batch has the same number
    of rows, and texts the length that their own tokens ask for, so that a row's features do not
    depend on what it is encoded with.

    Args:
        encoders: Encoders by side, `"vision"` or `"text"`.
        rows: Checked rows.
        preprocessor: What makes the encoders' inputs.
        names: Features that are wanted, by the trunk's input names; `None` is the pooled ones. An
            encoder of which none is wanted does not run.
        batch_size: Rows of a batch.
        progress: Whether to show a bar on what takes longer than two seconds.

    Returns:
        `vision_pooled_output`, `text_sequence_output`, ...: first axis the rows. Tokens are padded
        to the longest bucket that occurs.
    """
    features = {}
    for side, encoder in encoders.items():
        wanted = ("pooled_output",) if names is None else _wanted(side, encoder, names)
        if not wanted:
            continue
        model = _with_outputs(encoder, wanted)
        encode = _encode_images if side == "vision" else _encode_texts
        found = encode(model, rows, preprocessor, batch_size, progress)
        features.update({f"{side}_{name}": value for name, value in found.items()})
    return features


def predict_logits(
    encoders: Mapping[str, keras.Model],
    trunk: keras.Model,
    rows: Rows,
    preprocessor: Preprocessor,
    *,
    features: Mapping[str, np.ndarray] | None = None,
    batch_size: int = 32,
    progress: bool = True,
) -> np.ndarray:
    """Logits of rows: the encoders, then the trunk. The one way to predict.

    Args:
        encoders: Encoders by side, as in `encode_rows`.
        trunk: What answers from their features.
        rows: Checked rows.
        preprocessor: What makes the encoders' inputs.
        features: What `encode_rows` gave for these rows, where it has run already. What a row
            lacks is masked, so that for rows with cells taken out the features from before serve.
        batch_size: Rows of a batch.
        progress: As in `encode_rows`.

    Returns:
        float32 `(num_rows, num_logits)`.
    """
    names = [tensor.name for tensor in trunk.inputs]
    if features is None:
        features = encode_rows(
            encoders, rows, preprocessor, names=names, batch_size=batch_size, progress=progress
        )
    tokens = any(name in _TOKENS for name in names)
    masks = preprocessor.masks_and_tokens(rows) if tokens else preprocessor.masks(rows)
    features = {**features, **masks}
    inputs = {name: features[name] for name in names}
    return _in_batches(trunk, inputs, len(rows), batch_size)


def _wanted(side: str, encoder: keras.Model, names: Sequence[str]) -> tuple[str, ...]:
    """Those of an encoder's outputs that are asked for."""
    return tuple(name for name in encoder.output if f"{side}_{name}" in names)


def _in_batches(model: keras.Model, inputs: dict, num_rows: int, batch_size: int) -> np.ndarray:
    """Outputs for arrays, every batch filled up to the same size."""
    parts = [
        np.asarray(model.predict_on_batch({name: x[take] for name, x in inputs.items()}))[:count]
        for take, count in _batches(np.arange(num_rows), batch_size)
    ]
    return np.concatenate(parts)


def _batches(positions: np.ndarray, batch_size: int) -> Iterator[tuple[np.ndarray, int]]:
    """Positions in full batches; the last one repeats a row, and its true size is given."""
    for start in range(0, len(positions), batch_size):
        take = positions[start : start + batch_size]
        filled = np.concatenate([take, np.repeat(take[-1:], batch_size - len(take))])
        yield filled, len(take)


def _with_outputs(encoder: keras.Model, outputs: tuple[str, ...]) -> keras.Model:
    known = _reduced.setdefault(encoder, {})
    if outputs not in known:
        known[outputs] = keras.Model(encoder.input, {n: encoder.output[n] for n in outputs})
    return known[outputs]


def _encode_images(model, rows: Rows, preprocessor, batch_size, progress) -> dict:
    """Rows with the same images are one; batches are decoded while the last one is encoded."""
    keys = [
        tuple(None if c is None else image_key(c) for c in cells)
        for cells in zip(*rows.images, strict=True)
    ]
    first, where = _distinct(keys)

    def load(take: np.ndarray) -> dict:
        return {
            name: preprocessor.load_images([cells[i] for i in take]).astype("float32")
            for name, cells in zip(preprocessor.image_names, rows.images, strict=True)
        }

    work = list(_batches(first, batch_size))
    parts = []
    with ThreadPoolExecutor(1) as ahead, _bar(progress, "encoding images", len(first)) as bar:
        pending = ahead.submit(load, work[0][0])
        for i, (_, count) in enumerate(work):
            batch = pending.result()
            if i + 1 < len(work):
                pending = ahead.submit(load, work[i + 1][0])
            parts.append((model.predict_on_batch(batch), count))
            bar.update(count)
    return {
        name: np.concatenate([np.asarray(out[name])[:count] for out, count in parts])[where]
        for name in model.output
    }


def _encode_texts(model, rows: Rows, preprocessor, batch_size, progress) -> dict:
    """Rows with the same tokens are one; each is padded to its own bucket only."""
    tokens = {name: x for name, x in preprocessor.masks_and_tokens(rows).items() if name in _TOKENS}
    keys = [
        tuple(map(bytes, parts)) for parts in zip(*(tokens[name] for name in _TOKENS), strict=True)
    ]
    first, where = _distinct(keys)
    lengths = _bucket_of(tokens["padding_mask"][first], model)
    slots = math.prod(tokens["padding_mask"].shape[1:-1])
    found: dict[str, Any] = {}
    with _bar(progress, "encoding texts", len(first)) as bar:
        for length in np.unique(lengths):
            places = np.flatnonzero(lengths == length)
            for take, count in _batches(places, batch_size):
                batch = {name: x[first[take]][..., :length] for name, x in tokens.items()}
                for name, value in model.predict_on_batch(batch).items():
                    value = np.asarray(value)
                    if name != "pooled_output":
                        value = _padded(value, slots, length, lengths.max())
                    if name not in found:
                        found[name] = np.zeros((len(first), *value.shape[1:]), value.dtype)
                    found[name][take[:count]] = value[:count]
                bar.update(count)
    return {name: value[where] for name, value in found.items()}


def _padded(tokens: np.ndarray, slots: int, length: int, longest: int) -> np.ndarray:
    """Tokens `(batch, slots * length, ...)` with each slot filled up by zeros to `longest`."""
    rest = tokens.shape[2:]
    tokens = tokens.reshape(len(tokens), slots, length, *rest)
    widths = [(0, 0), (0, 0), (0, longest - length), *[(0, 0)] * len(rest)]
    return np.pad(tokens, widths).reshape(len(tokens), slots * longest, *rest)


def _distinct(keys: list) -> tuple[np.ndarray, np.ndarray]:
    """Positions of each distinct key's first row, and for every row which of those it is."""
    places: dict = {}
    where = np.asarray([places.setdefault(key, len(places)) for key in keys], int)
    first = np.zeros(len(places), int)
    first[where[::-1]] = np.arange(len(keys))[::-1]
    return first, where


def _bucket_of(padding_mask: np.ndarray, model: keras.Model) -> np.ndarray:
    """The padded length of each row: its bucket, or the full length for a fixed-length model."""
    full = padding_mask.shape[-1]
    if model.input["token_ids"].shape[-1] is not None:
        return np.full(len(padding_mask), full)
    own = padding_mask.sum(axis=-1).reshape(len(padding_mask), -1).max(axis=1)
    buckets = np.asarray([size for size in _BUCKETS if size < full] + [full])
    return buckets[np.searchsorted(buckets, own)]


def _bar(progress: bool, description: str, total: int) -> tqdm:
    return tqdm(desc=description, total=total, unit="row", delay=2, disable=not progress)
