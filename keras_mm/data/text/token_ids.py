"""Texts to token ids with KerasHub's layers, as TensorFlow operations."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from keras_mm.data.text.families import TokenFamily
from keras_mm.errors import InvalidValueError
from keras_mm.load_order import load_keras_hub, load_tensorflow

VocabularyTokens = Sequence[str] | Mapping[str, int] | bytes
_PUNCTUATION = r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~]"


def create_layer(
    vocabulary: VocabularyTokens,
    family: TokenFamily,
    *,
    merges: Sequence[str],
    lowercase: bool,
    strip_accents: bool,
) -> Any:
    """KerasHub's tokenizer layer for a vocabulary.

    Args:
        vocabulary: As in `Tokenizer`.
        family: Which layer.
        merges: Merge rules; byte pairs only.
        lowercase: Whether the layer lower-cases texts; WordPiece only.
        strip_accents: Whether the layer removes accents; WordPiece only.

    Returns:
        The layer.

    Raises:
        ValueError: if bytes are not a SentencePiece model of the family.
    """
    keras_hub, tf = load_keras_hub(), load_tensorflow()

    # First used while a graph is traced, it would belong to that graph and fail in the next.
    with tf.init_scope():
        create = getattr(keras_hub.tokenizers, family.tokenizer)
        if isinstance(vocabulary, bytes):
            try:
                return create(proto=vocabulary)
            except Exception as error:  # KerasHub, TensorFlow and SentencePiece each their own
                raise InvalidValueError(
                    f"`vocabulary` is not a SentencePiece model of the family {family.name!r}: "
                    f"{error}"
                ) from error
        if isinstance(vocabulary, Mapping):
            layer = create(vocabulary=dict(vocabulary), merges=list(merges))
            # Else KerasHub takes a special token written in a text for the token itself.
            layer.unsplittable_tokens = []
            return layer
        return create(vocabulary=vocabulary, lowercase=lowercase, strip_accents=strip_accents)


@dataclass(frozen=True, eq=False)
class TextsToIds:
    """Texts to ragged ids, without the special tokens that packing adds.

    Args:
        layer: What `create_layer` gave.
        family: How texts are normalised.
        special: Ids of the family's special tokens. Written in a text they stay plain text.
        own: Ids of the user's special tokens, which are one token wherever they stand.
        lowercase: Whether texts are lower-cased; done by the layer for BERT.
        strip_accents: Whether accents are removed; done by the layer for BERT.
        is_byte_pair: Whether the vocabulary is one of byte pairs.
        is_sentence_piece: Whether the vocabulary is a SentencePiece model.
    """

    layer: Any
    family: TokenFamily
    special: Mapping[str, int]
    own: Mapping[str, int]
    lowercase: bool
    strip_accents: bool
    is_byte_pair: bool
    is_sentence_piece: bool

    def __call__(self, text: Any) -> Any:
        """Token ids of texts.

        Args:
            text: A string tensor `(batch,)`.

        Returns:
            A ragged integer tensor `(batch, None)`.
        """
        tf = load_tensorflow()

        # Several operations would end a text at NUL.
        text = tf.strings.regex_replace(text, r"\x00", "")
        if not self.own:
            return self._plain(text)
        longest_first = sorted(self.own, key=len, reverse=True)
        # Not re.escape: an escaped space is an error here.
        pattern = "|".join(re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", t) for t in longest_first)
        # NUL can mark the pieces, since no text holds one now.
        marked = tf.strings.regex_replace(text, f"({pattern})", "\0\\1\0")
        pieces = tf.strings.split(marked, "\0")
        found = pieces.flat_values[:, None] == tf.constant(list(self.own))
        special = tf.reduce_any(found, axis=1)
        plain = self._plain(tf.where(special, "", pieces.flat_values))
        own = tf.gather(tf.constant(list(self.own.values()), plain.dtype), tf.argmax(found, axis=1))
        own = tf.ragged.boolean_mask(own[:, None], special[:, None])
        return pieces.with_flat_values(tf.concat([plain, own], axis=1)).merge_dims(1, 2)

    def _plain(self, text: Any) -> Any:
        """Ragged ids of texts without the user's special tokens."""
        tf = load_tensorflow()

        tokens = self.layer(text if self.family.name == "bert" else self._normalised(text))
        if self.is_byte_pair:  # KerasHub's -1 is a byte without a token
            return tf.ragged.boolean_mask(tokens, tokens >= 0)
        if self.is_sentence_piece and self.family.unknown is not None:
            # A SentencePiece model may let texts spell its special tokens.
            unknown = self.special[self.family.unknown]
            special = {*self.layer.special_token_ids, *self.special.values()} - {unknown}
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
