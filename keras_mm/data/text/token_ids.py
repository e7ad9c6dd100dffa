"""Converts texts to token ids with KerasHub's layers, as TensorFlow operations."""

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
    """Creates KerasHub's tokenizer layer for a vocabulary.

    Args:
        vocabulary: As in `Tokenizer`.
        family: The family, which names the class of the layer.
        merges: Merge rules; byte pairs only.
        lowercase: Whether the layer lower-cases texts; WordPiece only.
        strip_accents: Whether the layer removes accents; WordPiece only.

    Returns:
        The layer.

    Raises:
        ValueError: if bytes are not a SentencePiece model of the family.
    """
    keras_hub, tf = load_keras_hub(), load_tensorflow()

    # Outside of any graph: resources that are created while a graph is traced belong to this graph,
    # and fail in the next one.
    with tf.init_scope():
        create = getattr(keras_hub.tokenizers, family.tokenizer)
        if isinstance(vocabulary, bytes):
            try:
                return create(proto=vocabulary)
            except Exception as error:  # of KerasHub, TensorFlow or SentencePiece
                raise InvalidValueError(
                    f"`vocabulary` is not a SentencePiece model of the family {family.name!r}: "
                    f"{error}"
                ) from error
        if isinstance(vocabulary, Mapping):
            layer = create(vocabulary=dict(vocabulary), merges=list(merges))
            # Without this, KerasHub reads "</s>" in a user's text as the special token.
            layer.unsplittable_tokens = []
            return layer
        return create(vocabulary=vocabulary, lowercase=lowercase, strip_accents=strip_accents)


@dataclass(frozen=True, eq=False)
class TextsToIds:
    """Converts texts to ragged ids, without the special tokens that packing adds.

    Args:
        layer: The layer of `create_layer`.
        family: The family, which decides how texts are normalised.
        special: Ids of the family's special tokens, by token. In a user's text they stay plain
            text.
        user_tokens: Ids of the user's special tokens, by token. Each becomes one token wherever it
            occurs in a text.
        lowercase: Whether texts are lower-cased; for BERT, the layer does this.
        strip_accents: Whether accents are removed; for BERT, the layer does this.
        is_byte_pair: Whether the vocabulary consists of byte pairs.
        is_sentence_piece: Whether the vocabulary is a SentencePiece model.
    """

    layer: Any
    family: TokenFamily
    special: Mapping[str, int]
    user_tokens: Mapping[str, int]
    lowercase: bool
    strip_accents: bool
    is_byte_pair: bool
    is_sentence_piece: bool

    def __call__(self, text: Any) -> Any:
        """Converts texts to token ids.

        Args:
            text: A string tensor `(batch,)`.

        Returns:
            A ragged integer tensor `(batch, None)`.
        """
        tf = load_tensorflow()

        # Some TensorFlow operations read a text only up to NUL.
        text = tf.strings.regex_replace(text, r"\x00", "")
        if not self.user_tokens:
            return self._plain(text)
        # Longest first, because a special token may be the beginning of another one.
        longest_first = sorted(self.user_tokens, key=len, reverse=True)
        # Not `re.escape`: it escapes spaces, which TensorFlow's regular expressions do not allow.
        pattern = "|".join(re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", t) for t in longest_first)
        # NUL separates the pieces, because no text contains one any more.
        marked = tf.strings.regex_replace(text, f"({pattern})", "\0\\1\0")
        pieces = tf.strings.split(marked, "\0")
        matches = pieces.flat_values[:, None] == tf.constant(list(self.user_tokens))
        special = tf.reduce_any(matches, axis=1)
        plain = self._plain(tf.where(special, "", pieces.flat_values))
        user_ids = tf.gather(
            tf.constant(list(self.user_tokens.values()), plain.dtype), tf.argmax(matches, axis=1)
        )
        user_ids = tf.ragged.boolean_mask(user_ids[:, None], special[:, None])
        return pieces.with_flat_values(tf.concat([plain, user_ids], axis=1)).merge_dims(1, 2)

    def _plain(self, text: Any) -> Any:
        """Ragged ids of texts that contain none of the user's special tokens."""
        tf = load_tensorflow()

        tokens = self.layer(text if self.family.name == "bert" else self._normalised(text))
        if self.is_byte_pair:  # KerasHub returns -1 for a byte without a token
            return tf.ragged.boolean_mask(tokens, tokens >= 0)
        if self.is_sentence_piece and self.family.unknown is not None:
            # Some SentencePiece models return special tokens if a text spells them.
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
        """Texts as the family's weights were trained on them; BERT's layer does this itself."""
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
