"""The settings by which the texts of a row become sequences of tokens."""

from __future__ import annotations

from dataclasses import dataclass

from keras_mm.data.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class TextFormat:
    """A tokenizer with the length and the pairing of its sequences.

    Attributes:
        tokenizer: The tokenizer, which also packs the texts.
        sequence_length: Tokens per sequence, padding included, >= 4.
        text_pairing: `"packed"` (two texts in one sequence) or `"separate"`.
    """

    tokenizer: Tokenizer
    sequence_length: int
    text_pairing: str
