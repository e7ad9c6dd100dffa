"""Texts to token ids: KerasHub's tokenizers, run as one `tf.function` that export reuses."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, lru_cache
from os import PathLike
from pathlib import Path
from threading import RLock
from typing import Any

import numpy as np

from keras_mm.checks import unknown_name
from keras_mm.data.text.families import TOKEN_FAMILIES
from keras_mm.data.text.vocabularies import from_keras_hub, from_name, from_path, read_files
from keras_mm.errors import InvalidValueError
from keras_mm.forks import check_not_forked
from keras_mm.load_order import load_tensorflow

SPECIAL_TOKENS = TOKEN_FAMILIES["bert"].special_tokens
_CHUNK = 4096
_PUNCTUATION = r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~]"


class Tokenizer:
    """A family's tokenizer with its packing, the same in Python and in an exported graph.

    One text or a packed pair becomes `[CLS] a [SEP]` or `[CLS] a [SEP] b [SEP]` for BERT,
    `<s> a </s>` or `<s> a </s></s> b </s>` for RoBERTa, truncated round-robin. Special tokens
    written in a text stay plain text.

    Args:
        vocabulary: Tokens in id order (WordPiece), a dict from tokens to ids (byte pairs), or the
            bytes of a SentencePiece model. It holds the family's special tokens.
        family: `"bert"` (and its kin), `"roberta"`, `"xlm_roberta"`, `"deberta_v3"`, `"albert"`,
            `"clip"`, `"siglip"` or `"siglip2"`.
        merges: Merge rules, in order, as `"a b"`; byte pairs only.
        lowercase: Whether texts are lower-cased; by default as the family's vocabularies are.
        strip_accents: Whether accents are removed; by default as `lowercase` where the family's
            lower-case vocabularies know no accents ("naïve" would be unknown).
        special_tokens: Texts of the user's own, as `"<url>"`, that become one token each wherever
            they stand, in upper and lower case as written. Those that are not in the vocabulary get
            the ids behind it.

    Raises:
        ValueError: for an unknown family, or if a special token is not in the vocabulary.

    Example:
        >>> tokenizer = Tokenizer([*SPECIAL_TOKENS, "a", "b"])
        >>> tokenizer.pack((["a"], ["b"]), sequence_length=6)["token_ids"].tolist()
        [[2, 4, 3, 5, 3, 0]]
    """

    def __init__(
        self,
        vocabulary: Sequence[str] | Mapping[str, int] | bytes,
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
        ids = self._token_ids()
        absent = [token for token in self.family.special_tokens if token not in ids]
        if absent:
            raise InvalidValueError(
                f"`vocabulary` lacks {absent}; one of the family {family!r} has "
                f"{list(self.family.special_tokens)}."
            )
        self._special = {token: ids[token] for token in self.family.special_tokens}
        self.special_tokens = tuple(special_tokens)
        self.vocabulary_size = max(ids.values()) + 1
        self._own_ids = []
        for token in self.special_tokens:
            self._own_ids.append(ids.get(token, self.vocabulary_size))
            self.vocabulary_size += token not in ids
        self._functions: dict = {}
        self._tracing = RLock()

    def __reduce__(self):
        # What was traced belongs to this process.
        return _rebuilt, (self.vocabulary, self.merges, self.get_config())

    @classmethod
    def load(cls, source: Any) -> Tokenizer:
        """A tokenizer from itself, a backbone's name, a folder, a vocabulary file, or KerasHub.

        Args:
            source: A `Tokenizer`, a KerasHub tokenizer, the name of a backbone of the zoo, a
                Hugging Face or KerasHub folder, a vocabulary file, or a KerasHub handle
                (downloads).

        Raises:
            ValueError: if nothing of the kind is there, or its family is not supported.
        """
        if isinstance(source, cls):
            return source
        if not isinstance(source, str | PathLike):
            found = from_keras_hub(source)
        elif str(source) == "tiny_bert":
            from keras_mm.data.samples import sample_vocabulary

            return cls._kept(sample_vocabulary())
        else:
            path = Path(source)
            found = from_path(path) if path.exists() else from_name(str(source))
        return cls._kept(found.tokens, **found.options)

    @classmethod
    def from_config(cls, config: Mapping[str, Any], folder: str | PathLike) -> Tokenizer:
        """The tokenizer that `get_config` and `save` described."""
        options = {"family": "bert", **config}
        options["special_tokens"] = tuple(options.get("special_tokens", ()))
        found = read_files(Path(folder), options["family"], {})
        return cls._kept(found.tokens, **{**found.options, **options})

    @classmethod
    def _kept(cls, vocabulary: Any, *, merges: Sequence[str] = (), **options: Any) -> Tokenizer:
        """The tokenizer from before where it is the same, with all that it has traced."""
        kind: type = bytes
        if not isinstance(vocabulary, bytes):
            kind = dict if isinstance(vocabulary, Mapping) else list
            vocabulary = tuple(vocabulary.items() if kind is dict else vocabulary)
        parts = (kind, vocabulary, tuple(merges))
        options = _tokenizer(*parts, tuple(sorted(options.items()))).get_config()
        options["special_tokens"] = tuple(options.get("special_tokens", ()))
        return _tokenizer(*parts, tuple(sorted(options.items())))

    def with_special_tokens(self, special_tokens: Sequence[str]) -> Tokenizer:
        """The same tokenizer with other special tokens of the user's own."""
        options = {**self.get_config(), "special_tokens": tuple(special_tokens)}
        return self._kept(self.vocabulary, merges=self.merges, **options)

    def get_config(self) -> dict:
        """The options without the vocabulary, JSON-serialisable."""
        own = {"special_tokens": list(self.special_tokens)} if self.special_tokens else {}
        return {
            "family": self.family.name,
            "lowercase": self.lowercase,
            "strip_accents": self.strip_accents,
            **own,
        }

    def save(self, folder: str | PathLike) -> None:
        """Writes the vocabulary into `folder`, under the names that KerasHub gives its files."""
        folder, (first, *others) = Path(folder), self.family.files
        if isinstance(self.vocabulary, bytes):
            (folder / first).write_bytes(self.vocabulary)
        elif isinstance(self.vocabulary, Mapping):
            text = json.dumps(self.vocabulary, ensure_ascii=False)
            (folder / first).write_text(text + "\n", encoding="utf-8")
        else:
            (folder / first).write_text("\n".join(self.vocabulary) + "\n", encoding="utf-8")
        for name in others:
            (folder / name).write_text("\n".join(self.merges) + "\n", encoding="utf-8")

    def check(self, num_texts: int, sequence_length: int, text_pairing: str = "packed") -> None:
        """Raises ValueError if the family cannot pack so many texts into so few tokens."""
        pair = num_texts > 1 and text_pairing == "packed"
        if pair and self.family.separator is None:
            raise InvalidValueError(
                f"The family {self.family.name!r} reads one text at a time. Use "
                "text_pairing='separate' for two. Received: text_pairing='packed'"
            )
        specials = self.num_special(2 if pair else 1)
        if sequence_length <= specials:
            raise InvalidValueError(
                f"`sequence_length` must be > {specials}, the special tokens of a sequence. "
                f"Received: {sequence_length!r}"
            )

    def graph(
        self,
        texts: Sequence,
        sequence_length: int,
        text_pairing: str = "packed",
        parts: Sequence | None = None,
    ) -> dict:
        """TensorFlow tensors of the packed texts; runs inside a `tf.function`.

        Args:
            texts: One string tensor per text column, each of shape `(batch,)`.
            sequence_length: Tokens a sequence holds, padding included.
            text_pairing: `"packed"` or `"separate"`.
            parts: For each column `None`, or three int64 tensors `(batch,)`: positions of texts in
                the column, and of each the first token that is read, and how many.

        Returns:
            `token_ids`, `segment_ids` (int32; 0 in families without segments) and `padding_mask`
            (bool), each `(batch, L)`, or `(batch, num_texts, L)` for two separate texts.
        """
        tf = load_tensorflow()

        self.check(len(texts), sequence_length, text_pairing)
        tokens = [self._cut(text) for text in texts]
        for i, part in enumerate(parts or ()):
            if part is not None:
                tokens[i] = _part_of(tf.gather(tokens[i], part[0]), *part[1:])
        if text_pairing == "packed" or len(tokens) == 1:
            return self._pack(tokens, sequence_length)
        packed = [self._pack([token], sequence_length) for token in tokens]
        return {name: tf.stack([part[name] for part in packed], axis=1) for name in packed[0]}

    def pack(
        self,
        texts: Sequence[Sequence[str]],
        sequence_length: int,
        text_pairing: str = "packed",
        parts: Mapping[int, Mapping[str, np.ndarray]] | None = None,
    ) -> dict[str, np.ndarray]:
        """The same as `graph`, from lists of strings to NumPy arrays, a few thousand at a time.

        Args:
            texts: A list of texts for each column.
            sequence_length: As in `graph`.
            text_pairing: As in `graph`.
            parts: By column, from 0, the `starts` and `counts` of the tokens that are read of each
                text, int64 `(batch,)`. A text that stands there several times is cut once.
        """
        tf = load_tensorflow()

        check_not_forked()
        chunks, key = [], (len(texts), sequence_length, text_pairing, tuple(parts or ()))
        with tf.device("CPU"):
            for start in range(0, max(len(texts[0]), 1), _CHUNK):
                columns = [list(column[start : start + _CHUNK]) for column in texts]
                bounds = []
                for i, part in (parts or {}).items():
                    columns[i], where = _distinct(columns[i])
                    one = [part[name][start : start + _CHUNK] for name in ("starts", "counts")]
                    bounds.append([tf.constant(x, tf.int64) for x in (where, *one)])
                tensors = [tf.constant(column, tf.string) for column in columns]
                chunks.append(self._with_kernels(self._packed, key, tensors, bounds))
        return {
            name: np.concatenate([chunk[name].numpy() for chunk in chunks]) for name in chunks[0]
        }

    def count(self, texts: Sequence[str]) -> np.ndarray:
        """Tokens of each text, none of them special, int64 `(len(texts),)`.

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
                counts.append(self._with_kernels(self.count_graph, chunk).numpy())
        return np.concatenate(counts)[where]

    def count_graph(self, texts: Any) -> Any:
        """The same as `count`, of a string tensor; also runs inside a `tf.function`."""
        return self._cut(texts).row_lengths()

    def _packed(self, key: tuple, tensors: list, bounds: list) -> dict:
        return self._function(*key)(tensors, bounds)

    def _with_kernels(self, work: Callable, *arguments: Any) -> Any:
        """What `work(*arguments)` gives; the tokenizer is built anew if TensorFlow has dropped it.

        Seeding TensorFlow drops its cached kernels, and SentencePiece's model with the kernel that
        owns it.
        """
        tf, layer = load_tensorflow(), self.layer
        try:
            return work(*arguments)
        except tf.errors.NotFoundError:
            with self._tracing:
                if vars(self).get("layer") is layer:  # else another thread has built it anew
                    for name in ("layer", "_cut"):
                        vars(self).pop(name, None)
                    self._functions.clear()
            return work(*arguments)

    def _function(
        self, num_texts: int, sequence_length: int, text_pairing: str, parts: tuple[int, ...]
    ) -> Any:
        """`graph` for so many texts, of which some are read in parts, traced once."""
        tf = load_tensorflow()

        def pack(columns, bounds):
            found = dict(zip(parts, bounds, strict=True))
            each = [found.get(i) for i in range(num_texts)]
            return self.graph(columns, sequence_length, text_pairing, each)

        key = (num_texts, sequence_length, text_pairing, parts)
        with self._tracing:
            if key not in self._functions:
                function = tf.function(pack, autograph=False)
                text, number = (tf.TensorSpec([None], kind) for kind in (tf.string, tf.int64))
                signature = [text] * num_texts, [[number] * 3] * len(parts)
                self._functions[key] = function.get_concrete_function(*signature)
            return self._functions[key]

    @cached_property
    def layer(self) -> Any:
        """KerasHub's tokenizer."""
        import keras_hub

        tf = load_tensorflow()

        # First used while a graph is traced, it would belong to that graph and fail in the next.
        with tf.init_scope():
            create = getattr(keras_hub.tokenizers, self.family.tokenizer)
            if isinstance(self.vocabulary, bytes):
                try:
                    return create(proto=self.vocabulary)
                except Exception as error:  # KerasHub, TensorFlow and SentencePiece each their own
                    raise InvalidValueError(
                        "`vocabulary` is no SentencePiece model of the family "
                        f"{self.family.name!r}: {error}"
                    ) from error
            if isinstance(self.vocabulary, Mapping):
                layer = create(vocabulary=dict(self.vocabulary), merges=self.merges)
                # Else KerasHub takes a special token written in a text for the token itself.
                layer.unsplittable_tokens = []
                return layer
            return create(
                vocabulary=self.vocabulary,
                lowercase=self.lowercase,
                strip_accents=self.strip_accents,
            )

    @property
    def resources(self) -> list:
        """The tables and models that an exported graph reads, for a `tf.Module` to keep."""
        tf = load_tensorflow()

        kind = tf.__internal__.tracking.Trackable  # a layer is one only under TensorFlow
        return [value for value in vars(self.layer).values() if isinstance(value, kind)]

    def _token_ids(self) -> Mapping[str, int]:
        if isinstance(self.vocabulary, Mapping):
            return self.vocabulary
        tokens = self.vocabulary
        if isinstance(tokens, bytes):
            tokens = self.layer.get_vocabulary()
        return {token: i for i, token in enumerate(tokens)}

    @cached_property
    def _cut(self) -> Any:
        """`_ids`, traced once for all texts and lengths: byte pairs take seconds."""
        tf = load_tensorflow()

        return tf.function(
            self._ids, input_signature=[tf.TensorSpec([None], tf.string)], autograph=False
        )

    def _ids(self, text: Any) -> Any:
        """Ragged ids of a string tensor, none of them special but the user's own."""
        tf = load_tensorflow()

        # Several steps would end a text at NUL.
        text = tf.strings.regex_replace(text, r"\x00", "")
        if not self.special_tokens:
            return self._plain_ids(text)
        longest_first = sorted(self.special_tokens, key=len, reverse=True)
        # Not re.escape: an escaped space is an error here.
        pattern = "|".join(re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", t) for t in longest_first)
        marked = tf.strings.regex_replace(text, f"({pattern})", "\0\\1\0")  # nor has any text now
        pieces = tf.strings.split(marked, "\0")
        found = pieces.flat_values[:, None] == tf.constant(self.special_tokens)
        special = tf.reduce_any(found, axis=1)
        plain = self._plain_ids(tf.where(special, "", pieces.flat_values))
        own = tf.gather(tf.constant(self._own_ids, plain.dtype), tf.argmax(found, axis=1))
        own = tf.ragged.boolean_mask(own[:, None], special[:, None])
        return pieces.with_flat_values(tf.concat([plain, own], axis=1)).merge_dims(1, 2)

    def _plain_ids(self, text: Any) -> Any:
        """Ragged ids of texts without special tokens."""
        tf = load_tensorflow()

        tokens = self.layer(text if self.family.name == "bert" else self._normalised(text))
        if isinstance(self.vocabulary, Mapping):  # KerasHub's -1 is a byte without a token
            return tf.ragged.boolean_mask(tokens, tokens >= 0)
        if isinstance(self.vocabulary, bytes):
            # A SentencePiece model may let texts spell its special tokens.
            unknown = self._special[self.family.unknown]
            special = {*self.layer.special_token_ids, *self._special.values()} - {unknown}
            forbidden = tf.constant(sorted(special), tokens.dtype)
            return tf.ragged.map_flat_values(
                lambda ids: tf.where(
                    tf.reduce_any(ids[:, None] == forbidden, axis=1),
                    tf.cast(unknown, ids.dtype),
                    ids,
                ),
                tokens,
            )
        return tokens

    def _normalised(self, text: Any) -> Any:
        tf = load_tensorflow()
        import tensorflow_text as tf_text

        if self.strip_accents:
            text = tf_text.normalize_utf8(text, "NFKD")
            text = tf.strings.regex_replace(text, r"\p{Mn}", "")
        if self.lowercase:
            text = tf.strings.lower(text, encoding="utf-8")
        if self.family.strips_punctuation:
            text = tf.strings.regex_replace(text, _PUNCTUATION, "")
            text = tf.strings.strip(tf.strings.regex_replace(text, r"\s+", " "))
        return text

    def _pack(self, tokens: Sequence, sequence_length: int) -> dict:
        import keras_hub

        tf = load_tensorflow()

        family, special = self.family, self._special
        packer = keras_hub.layers.MultiSegmentPacker(
            sequence_length=sequence_length,
            start_value=[special[token] for token in family.start],
            sep_value=[special[token] for token in family.separator or family.end],
            end_value=[special[token] for token in family.end],
            pad_value=0 if family.pad is None else special[family.pad],
            truncate="round_robin",
        )
        ids, segments = packer(tuple(tokens))
        lengths = tf.add_n([token.row_lengths() for token in tokens])
        # Not by the padding's id, which may be that of a token: "!" in CLIP.
        mask = tf.sequence_mask(lengths + self.num_special(len(tokens)), sequence_length)
        segments = tf.cast(segments, "int32")
        return {
            "token_ids": tf.cast(ids, "int32"),
            "segment_ids": segments if family.segments else tf.zeros_like(segments),
            "padding_mask": mask,
        }

    def num_special(self, num_texts: int) -> int:
        """Special tokens around one text, or around and between two packed ones."""
        between = (num_texts - 1) * len(self.family.separator or ())
        return len(self.family.start) + between + len(self.family.end)


def _distinct(texts: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """The distinct texts in the order of their first places, and the place of each in them."""
    known: dict[str, int] = {}
    where = [known.setdefault(str(text), len(known)) for text in texts]
    return list(known), np.asarray(where, "int64")


def _part_of(tokens: Any, starts: Any, counts: Any) -> Any:
    """Some tokens of each row of a ragged tensor, those that are there."""
    tf = load_tensorflow()

    lengths = tf.cast(tokens.row_lengths(), tf.int64)
    starts = tf.minimum(starts, lengths)
    wanted = tf.ragged.range(starts, tf.minimum(starts + counts, lengths))
    return tf.gather(tokens, wanted, batch_dims=1)


def _rebuilt(vocabulary: Any, merges: Sequence[str], config: Mapping[str, Any]) -> Tokenizer:
    special_tokens = tuple(config.get("special_tokens", ()))
    return Tokenizer._kept(
        vocabulary, merges=merges, **{**config, "special_tokens": special_tokens}
    )


@lru_cache(maxsize=8)
def _tokenizer(kind: type, vocabulary: Any, merges: tuple, options: tuple) -> Tokenizer:
    return Tokenizer(kind(vocabulary), merges=merges, **dict(options))
