"""Converts texts to packed token ids, with TensorFlow functions that exports reuse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from keras_mm.checks import unknown_name
from keras_mm.data.text.families import TOKEN_FAMILIES
from keras_mm.data.text.packing import check_packing, pack_rows
from keras_mm.data.text.token_ids import TextsToIds, VocabularyTokens, create_layer
from keras_mm.data.text.traced import TracedLayer
from keras_mm.data.text.vocabularies import (
    from_keras_hub,
    from_name,
    from_path,
    read_files,
    write_files,
)
from keras_mm.errors import InvalidValueError
from keras_mm.forks import check_not_forked
from keras_mm.load_order import load_tensorflow

SPECIAL_TOKENS = TOKEN_FAMILIES["bert"].special_tokens
_CHUNK = 4096  # texts per call of a TensorFlow function


class Tokenizer:
    """Tokenizes and packs texts, with equal results in Python and in an exported graph.

    One text or a packed pair becomes `[CLS] a [SEP]` or `[CLS] a [SEP] b [SEP]` for BERT,
    `<s> a </s>` or `<s> a </s></s> b </s>` for RoBERTa, truncated round-robin. Special tokens in a
    user's text stay plain text.

    Args:
        vocabulary: Tokens in id order (WordPiece), a dict from tokens to ids (byte pairs), or the
            bytes of a SentencePiece model. It must contain the family's special tokens.
        family: `"bert"` (also for DistilBERT and ELECTRA), `"roberta"`, `"xlm_roberta"`,
            `"deberta_v3"`, `"albert"`, `"clip"`, `"siglip"` or `"siglip2"`.
        merges: Merge rules in order, such as `"a b"`; byte pairs only.
        lowercase: Whether texts are lower-cased; `None` takes the family's default.
        strip_accents: Whether accents are removed; `None` removes them if texts are lower-cased and
            the family's lower-case vocabularies contain no accents ("naïve" would be unknown).
        special_tokens: The user's, such as `"<url>"`: case-sensitive texts that become one token
            each wherever they occur. New ones get ids after the vocabulary's.

    Raises:
        ValueError: for an unknown family, or if a special token is not in the vocabulary.

    Example:
        >>> tokenizer = Tokenizer([*SPECIAL_TOKENS, "a", "b"])
        >>> tokenizer.pack((["a"], ["b"]), sequence_length=6)["token_ids"].tolist()
        [[2, 4, 3, 5, 3, 0]]
    """

    def __init__(
        self,
        vocabulary: VocabularyTokens,
        *,
        family: str = "bert",
        merges: Sequence[str] = (),
        lowercase: bool | None = None,
        strip_accents: bool | None = None,
        special_tokens: Sequence[str] = (),
    ):
        if family not in TOKEN_FAMILIES:
            raise InvalidValueError(unknown_name("tokenizer family", family, TOKEN_FAMILIES))
        self.family = TOKEN_FAMILIES[family]
        self.vocabulary, self.merges = vocabulary, list(merges)
        self.lowercase = self.family.lowercase if lowercase is None else lowercase
        follows = self.lowercase and self.family.strips_accents
        self.strip_accents = follows if strip_accents is None else strip_accents
        self._traced = TracedLayer(self._create_layer, self._ids_of)
        self._user_tokens: dict[str, int] = {}
        ids = self.token_ids()
        absent = [token for token in self.family.special_tokens if token not in ids]
        if absent:
            raise InvalidValueError(
                f"`vocabulary` lacks {absent}. A vocabulary of the family {family!r} must contain "
                f"{list(self.family.special_tokens)}."
            )
        self._special = {token: ids[token] for token in self.family.special_tokens}
        self.special_tokens = tuple(special_tokens)
        self.vocabulary_size = max(ids.values()) + 1
        for token in self.special_tokens:
            self._user_tokens.setdefault(token, ids.get(token, self.vocabulary_size))
            self.vocabulary_size += token not in ids

    def __reduce__(self) -> tuple:
        # Traced functions cannot be pickled, so the tokenizer is created again.
        return _rebuilt, (self.vocabulary, self.merges, self.get_config())

    @classmethod
    def load(cls, source: Any) -> Tokenizer:
        """Loads a tokenizer, or returns one that was loaded before.

        Args:
            source: A `Tokenizer`, a KerasHub tokenizer, the name of a backbone in
                `keras_mm.presets.backbones`, a Hugging Face or KerasHub folder, a vocabulary file,
                or a KerasHub handle (downloads).

        Returns:
            The tokenizer; a `Tokenizer` is returned unchanged.

        Raises:
            ValueError: if there is no vocabulary, or its family is not supported.
        """
        if isinstance(source, cls):
            return source
        if not isinstance(source, str | PathLike):
            vocabulary = from_keras_hub(source)
        elif str(source) == "tiny_bert":
            from keras_mm.data.samples import sample_vocabulary

            return cls.shared(sample_vocabulary())
        else:
            path = Path(source)
            vocabulary = from_path(path) if path.exists() else from_name(str(source))
        return cls.shared(vocabulary.tokens, **vocabulary.options)

    @classmethod
    def from_config(cls, config: Mapping[str, Any], folder: str | PathLike) -> Tokenizer:
        """Restores a tokenizer.

        Args:
            config: The result of `get_config`.
            folder: The folder that `save` wrote to.

        Returns:
            An equal tokenizer.

        Raises:
            FileNotFoundError: if the folder holds no vocabulary.
        """
        options = {"family": "bert", **config}  # old configs name no family
        options["special_tokens"] = tuple(options.get("special_tokens", ()))
        vocabulary = read_files(Path(folder), options["family"], {})
        return cls.shared(vocabulary.tokens, **{**vocabulary.options, **options})

    @classmethod
    def shared(cls, vocabulary: Any, *, merges: Sequence[str] = (), **options: Any) -> Tokenizer:
        """Returns the same tokenizer for the same arguments; its graphs take seconds to trace.

        Args:
            vocabulary: As in the constructor.
            merges: As in the constructor.
            **options: The other arguments of the constructor.

        Returns:
            One of the last eight tokenizers of this process, or a new one.

        Raises:
            ValueError: as the constructor.
        """
        kind: type = bytes
        if not isinstance(vocabulary, bytes):
            kind = dict if isinstance(vocabulary, Mapping) else list
            vocabulary = tuple(vocabulary.items() if kind is dict else vocabulary)
        parts = (kind, vocabulary, tuple(merges))
        # The first call replaces `None` by the family's defaults, so that equal options are equal.
        options = _tokenizer(*parts, tuple(sorted(options.items()))).get_config()
        options["special_tokens"] = tuple(options.get("special_tokens", ()))
        return _tokenizer(*parts, tuple(sorted(options.items())))

    def with_special_tokens(self, special_tokens: Sequence[str]) -> Tokenizer:
        """The same tokenizer with other user-defined special tokens.

        Args:
            special_tokens: As in the constructor; they replace the present ones.

        Returns:
            The tokenizer.
        """
        options = {**self.get_config(), "special_tokens": tuple(special_tokens)}
        return self.shared(self.vocabulary, merges=self.merges, **options)

    def get_config(self) -> dict:
        """The options of the tokenizer, without vocabulary and merges.

        Returns:
            A JSON-serialisable dict, for `from_config`.
        """
        added = {"special_tokens": list(self.special_tokens)} if self.special_tokens else {}
        return {
            "family": self.family.name,
            "lowercase": self.lowercase,
            "strip_accents": self.strip_accents,
            **added,
        }

    def save(self, folder: str | PathLike) -> None:
        """Writes the vocabulary under KerasHub's file names.

        Args:
            folder: An existing folder.
        """
        write_files(Path(folder), self.family, self.vocabulary, self.merges)

    def graph(
        self,
        texts: Sequence,
        sequence_length: int,
        text_pairing: str = "packed",
        parts: Sequence | None = None,
    ) -> dict:
        """Packs texts as TensorFlow operations, inside a `tf.function`.

        Args:
            texts: One string tensor per text column, each of shape `(batch,)`.
            sequence_length: Tokens per sequence, padding included.
            text_pairing: `"packed"` or `"separate"`.
            parts: Which tokens to use, for sliding windows. For each column `None` for all, or
                three int64 tensors `(num_sequences,)`: the position of the text in its column, the
                first token to use, and the number of tokens.

        Returns:
            `token_ids`, `segment_ids` (int32; 0 in families without segments) and `padding_mask`
            (bool), each `(batch, L)`, or `(batch, num_texts, L)` for two separate texts.

        Raises:
            ValueError: as `check_packing`.
        """
        check_packing(self.family, len(texts), sequence_length, text_pairing)
        tokens = [self._traced.ids(text) for text in texts]
        return pack_rows(tokens, sequence_length, text_pairing, parts, self.family, self._special)

    def pack(
        self,
        texts: Sequence[Sequence[str]],
        sequence_length: int,
        text_pairing: str = "packed",
        parts: Mapping[int, Mapping[str, np.ndarray]] | None = None,
    ) -> dict[str, np.ndarray]:
        """Packs lists of strings, with the same result as `graph`.

        Args:
            texts: A list of texts for each column.
            sequence_length: As in `graph`.
            text_pairing: As in `graph`.
            parts: For sliding windows, by column index: `starts`, the first token to use of each
                text, and `counts`, the number of tokens, int64 `(batch,)`.

        Returns:
            NumPy arrays with the names and shapes of `graph`.

        Raises:
            ValueError: as `check_packing`.
            ForkError: in a process forked from one in which TensorFlow was running.
        """
        tf = load_tensorflow()

        check_not_forked()
        chunks, key = [], (len(texts), sequence_length, text_pairing, tuple(parts or ()))
        with tf.device("CPU"):  # GPUs cannot hold strings
            for start in range(0, max(len(texts[0]), 1), _CHUNK):
                columns = [list(column[start : start + _CHUNK]) for column in texts]
                bounds = []
                for i, part in (parts or {}).items():
                    columns[i], where = _distinct(columns[i])  # tokenizes a text only once
                    ranges = [part[name][start : start + _CHUNK] for name in ("starts", "counts")]
                    bounds.append([tf.constant(x, tf.int64) for x in (where, *ranges)])
                tensors = [tf.constant(column, tf.string) for column in columns]
                chunks.append(self._traced.run(self._packed, key, tensors, bounds))
        return {
            name: np.concatenate([chunk[name].numpy() for chunk in chunks]) for name in chunks[0]
        }

    def count(self, texts: Sequence[str]) -> np.ndarray:
        """Counts the tokens of texts, without the special tokens that packing adds.

        Args:
            texts: The texts.

        Returns:
            int64 `(len(texts),)`.

        Raises:
            ForkError: in a process forked from one in which TensorFlow was running.

        Example:
            >>> Tokenizer([*SPECIAL_TOKENS, "a", "b"]).count(["a b a", ""]).tolist()
            [3, 0]
        """
        tf = load_tensorflow()

        check_not_forked()
        distinct, where = _distinct(texts)
        counts = [np.zeros(0, "int64")]
        with tf.device("CPU"):
            for start in range(0, len(distinct), _CHUNK):
                chunk = tf.constant(distinct[start : start + _CHUNK], tf.string)
                counts.append(self._traced.run(self.count_graph, chunk).numpy())
        return np.concatenate(counts)[where]

    def count_graph(self, texts: Any) -> Any:
        """Counts tokens as TensorFlow operations, with the same result as `count`.

        Args:
            texts: A string tensor `(batch,)`.

        Returns:
            An int64 tensor `(batch,)`.
        """
        return self._traced.ids(texts).row_lengths()

    def _packed(self, key: tuple, tensors: list, bounds: list) -> dict:
        # Apart from packing: TensorFlow would optimise the byte pairs' graph for each length anew.
        tokens = [self._traced.ids(text) for text in tensors]
        return self._traced.function(key, lambda: self._trace(*key))(tokens, bounds)

    def _trace(
        self, num_texts: int, sequence_length: int, text_pairing: str, parts: tuple[int, ...]
    ) -> Any:
        """`pack_rows` for a number of texts, traced; `parts` are the columns used in parts."""
        tf = load_tensorflow()
        check_packing(self.family, num_texts, sequence_length, text_pairing)

        def pack(tokens: list, bounds: list) -> dict:
            found = dict(zip(parts, bounds, strict=True))
            each = [found.get(i) for i in range(num_texts)]
            return pack_rows(
                tokens, sequence_length, text_pairing, each, self.family, self._special
            )

        kind = self._traced.ids.structured_outputs.dtype
        token = tf.RaggedTensorSpec([None, None], kind, ragged_rank=1)
        signature = [token] * num_texts, [[tf.TensorSpec([None], tf.int64)] * 3] * len(parts)
        return tf.function(pack, autograph=False).get_concrete_function(*signature)

    def _create_layer(self) -> Any:
        return create_layer(
            self.vocabulary,
            self.family,
            merges=self.merges,
            lowercase=self.lowercase,
            strip_accents=self.strip_accents,
        )

    def _ids_of(self, layer: Any) -> TextsToIds:
        return TextsToIds(
            layer,
            self.family,
            self._special,
            self._user_tokens,
            self.lowercase,
            self.strip_accents,
            is_byte_pair=isinstance(self.vocabulary, Mapping),
            is_sentence_piece=isinstance(self.vocabulary, bytes),
        )

    @property
    def layer(self) -> Any:
        """KerasHub's tokenizer layer."""
        return self._traced.layer

    @property
    def resources(self) -> list:
        """The tables and models of an exported graph, which its `tf.Module` must hold."""
        tf = load_tensorflow()
        # Not the layer itself: it is trackable only with TensorFlow as Keras' backend.
        kind = tf.__internal__.tracking.Trackable
        return [value for value in vars(self.layer).values() if isinstance(value, kind)]

    def token_ids(self) -> dict[str, int]:
        """The vocabulary with the user's special tokens.

        Returns:
            Ids by token.
        """
        tokens = self.vocabulary
        if isinstance(tokens, bytes):
            tokens = self.layer.get_vocabulary()
        if not isinstance(tokens, Mapping):
            tokens = {token: i for i, token in enumerate(tokens)}
        return {**tokens, **self._user_tokens}


def _distinct(texts: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """The distinct texts in the order of their first occurrence, and each text's index in them."""
    known: dict[str, int] = {}
    where = [known.setdefault(str(text), len(known)) for text in texts]
    return list(known), np.asarray(where, "int64")


def _rebuilt(vocabulary: Any, merges: Sequence[str], config: Mapping[str, Any]) -> Tokenizer:
    special_tokens = tuple(config.get("special_tokens", ()))
    return Tokenizer.shared(
        vocabulary, merges=merges, **{**config, "special_tokens": special_tokens}
    )


@lru_cache(maxsize=8)
def _tokenizer(kind: type, vocabulary: Any, merges: tuple, options: tuple) -> Tokenizer:
    return Tokenizer(kind(vocabulary), merges=merges, **dict(options))
