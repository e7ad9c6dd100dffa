"""Texts to token ids: KerasHub's WordPiece, run as one `tf.function` that export reuses."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from keras_mm.presets import BACKBONES
from keras_mm.pretrained import from_handle

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
_CHUNK = 4096


class Tokenizer:
    """WordPiece tokenizer with packing, the same in Python and in an exported graph.

    One text or a packed pair becomes `[CLS] a [SEP]` or `[CLS] a [SEP] b [SEP]`, with segment ids
    0 and 1, truncated round-robin. Special tokens written in a text stay plain text.

    Args:
        vocabulary: Tokens in id order; holds `[PAD]`, `[UNK]`, `[CLS]` and `[SEP]`.
        lowercase: Whether the vocabulary is lower-case.
        strip_accents: Whether accents are removed; by default as `lowercase` (an uncased
            vocabulary knows no accents, so "naïve" would be unknown).

    Raises:
        ValueError: if a special token is not in the vocabulary.

    Example:
        >>> tokenizer = Tokenizer([*SPECIAL_TOKENS, "a", "b"])
        >>> tokenizer.pack((["a"], ["b"]), sequence_length=6)["token_ids"].tolist()
        [[2, 4, 3, 5, 3, 0]]
    """

    def __init__(
        self,
        vocabulary: Sequence[str],
        *,
        lowercase: bool = True,
        strip_accents: bool | None = None,
    ):
        self.vocabulary = list(vocabulary)
        self.lowercase = lowercase
        self.strip_accents = lowercase if strip_accents is None else strip_accents
        absent = [token for token in SPECIAL_TOKENS if token not in self.vocabulary]
        if absent:
            raise ValueError(f"`vocabulary` lacks {absent}; a WordPiece vocabulary has all four.")
        self._functions: dict = {}

    @classmethod
    def load(cls, source: Any) -> Tokenizer:
        """A tokenizer from itself, a backbone's name, a folder, a vocabulary file, or KerasHub.

        Args:
            source: A `Tokenizer`, a KerasHub WordPiece tokenizer, the name of a backbone in
                `keras_mm.presets`, a Hugging Face or KerasHub folder, a `vocab.txt`, or a
                KerasHub handle (downloads).

        Raises:
            ValueError: if nothing of the kind is there, or it is no WordPiece tokenizer.
        """
        if isinstance(source, cls):
            return source
        if not isinstance(source, str | PathLike):
            return cls._from_keras_hub(source)
        if str(source) == "tiny_bert":
            from keras_mm.data.samples import sample_vocabulary

            return cls(sample_vocabulary())
        if Path(source).exists():
            return cls._from_path(Path(source))
        return cls._download(str(source))

    @classmethod
    def _from_path(cls, path: Path) -> Tokenizer:
        candidates = (
            [path]
            if path.is_file()
            else [
                path / "vocab.txt",
                path / "assets" / "tokenizer" / "vocabulary.txt",
            ]
        )
        for file in candidates:
            if file.is_file():
                options = _folder_options(path if path.is_dir() else path.parent)
                return cls(_read_vocabulary(file), **options)
        raise ValueError(
            f"No WordPiece vocabulary in {str(path)!r}: expected vocab.txt (Hugging Face) or "
            "assets/tokenizer/vocabulary.txt (KerasHub). Other tokenizers are not supported yet."
        )

    @classmethod
    def _download(cls, source: str) -> Tokenizer:
        backbone = BACKBONES.get(source)
        handle = backbone.handle if backbone and backbone.handle else source
        what = f"tokenizer of {source!r}"
        return cls._from_keras_hub(
            from_handle("Tokenizer", handle, what=what, keyword="text_weights")
        )

    @classmethod
    def _from_keras_hub(cls, tokenizer: Any) -> Tokenizer:
        import keras_hub

        if not isinstance(tokenizer, keras_hub.tokenizers.WordPieceTokenizer):
            raise ValueError(
                "`tokenizer` must be a WordPiece tokenizer (the BERT family), a folder that holds "
                f"one, or a backbone's name. Received: {type(tokenizer).__name__}"
            )
        options = _options(tokenizer.lowercase, tokenizer.strip_accents or None)
        return cls(tokenizer.get_vocabulary(), **options)

    def get_config(self) -> dict:
        """The options without the vocabulary, JSON-serialisable."""
        return {"lowercase": self.lowercase, "strip_accents": self.strip_accents}

    @cached_property
    def _layer(self) -> Any:
        import keras_hub
        import tensorflow as tf

        # First used while a graph is traced, it would belong to that graph and fail in the next.
        with tf.init_scope():
            return keras_hub.tokenizers.WordPieceTokenizer(
                vocabulary=self.vocabulary,
                lowercase=self.lowercase,
                strip_accents=self.strip_accents,
            )

    def graph(self, texts: Sequence, sequence_length: int, text_pairing: str = "packed") -> dict:
        """TensorFlow tensors of the packed texts; runs inside a `tf.function`.

        Args:
            texts: One string tensor per text column, each of shape `(batch,)`.
            sequence_length: Tokens a sequence holds, padding included.
            text_pairing: `"packed"` or `"separate"`.

        Returns:
            `token_ids`, `segment_ids` (int32) and `padding_mask` (bool), each `(batch, L)`, or
            `(batch, num_texts, L)` for two separate texts.
        """
        import tensorflow as tf

        tokens = [self._layer(text) for text in texts]
        if text_pairing == "packed" or len(tokens) == 1:
            ids, segments = self._packer(sequence_length)(tuple(tokens))
        else:
            packed = [self._packer(sequence_length)((token,)) for token in tokens]
            ids, segments = (tf.stack(parts, axis=1) for parts in zip(*packed, strict=True))
        ids, segments = tf.cast(ids, "int32"), tf.cast(segments, "int32")
        return {
            "token_ids": ids,
            "segment_ids": segments,
            "padding_mask": ids != self.vocabulary.index("[PAD]"),
        }

    def _packer(self, sequence_length: int) -> Any:
        import keras_hub

        return keras_hub.layers.MultiSegmentPacker(
            sequence_length=sequence_length,
            start_value=self.vocabulary.index("[CLS]"),
            end_value=self.vocabulary.index("[SEP]"),
            pad_value=self.vocabulary.index("[PAD]"),
            truncate="round_robin",
        )

    def pack(
        self,
        texts: Sequence[Sequence[str]],
        sequence_length: int,
        text_pairing: str = "packed",
    ) -> dict[str, np.ndarray]:
        """The same as `graph`, from lists of strings to NumPy arrays, a few thousand at a time."""
        import tensorflow as tf

        key = (len(texts), sequence_length, text_pairing)
        if key not in self._functions:
            function = tf.function(
                lambda columns: self.graph(columns, sequence_length, text_pairing), autograph=False
            )
            signature = [tf.TensorSpec([None], tf.string)] * len(texts)
            self._functions[key] = function.get_concrete_function(signature)
        chunks = []
        with tf.device("CPU"):
            for start in range(0, max(len(texts[0]), 1), _CHUNK):
                columns = [tf.constant(c[start : start + _CHUNK], tf.string) for c in texts]
                chunks.append(self._functions[key](columns))
        return {
            name: np.concatenate([chunk[name].numpy() for chunk in chunks]) for name in chunks[0]
        }


def _read_vocabulary(file: Path) -> list[str]:
    # Not splitlines(): some vocabularies hold U+2028, which it splits at.
    return file.read_text(encoding="utf-8").removesuffix("\n").split("\n")


def _options(lowercase: Any, strip_accents: Any) -> dict:
    strip = None if strip_accents is None else bool(strip_accents)
    return {"lowercase": bool(lowercase), "strip_accents": strip}


def _folder_options(folder: Path) -> dict:
    """Lower-casing as a Hugging Face or KerasHub folder states it; uncased if it says nothing."""
    configs = [folder / name for name in ("tokenizer_config.json", "tokenizer.json")]
    texts = [file.read_text(encoding="utf-8") for file in configs if file.is_file()]
    settings: dict = {}
    for text in reversed(texts):
        stated = json.loads(text)
        settings |= (stated.get("normalizer") or {}) | stated
    if "config" in settings:  # KerasHub's; its default False is not a wish to keep accents
        config = settings["config"]
        return _options(config.get("lowercase", True), config.get("strip_accents") or None)
    lowercase = settings.get("do_lower_case", settings.get("lowercase", True))
    return _options(lowercase, settings.get("strip_accents"))
