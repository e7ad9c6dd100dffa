"""The families of text models: how each tokenizes and packs texts, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class TokenFamily:
    """How a family of text models tokenizes and packs texts.

    A text becomes `start a end`, and a pair becomes `start a separator b end`.

    Attributes:
        name: Name of the family in saved models.
        tokenizer: Name of KerasHub's tokenizer class.
        files: KerasHub's names of the vocabulary files.
        start: Tokens before the first text.
        separator: Tokens between two texts; `None` if the family does not pack pairs.
        end: Tokens after the last text.
        pad: Padding token; `None` pads with the id 0, whatever its token is.
        unknown: Token for characters outside the vocabulary; `None` if the vocabulary covers all.
        segments: Whether tokens of the second text have the segment id 1.
        lowercase: Whether vocabularies are lower-case, unless their config says otherwise.
        strips_accents: Whether lower-case vocabularies contain no accents.
        strips_punctuation: Whether the family was trained on texts without punctuation.
    """

    name: str
    tokenizer: str
    files: tuple[str, ...]
    start: tuple[str, ...]
    separator: tuple[str, ...] | None
    end: tuple[str, ...]
    pad: str | None
    unknown: str | None
    segments: bool = False
    lowercase: bool = False
    strips_accents: bool = False
    strips_punctuation: bool = False

    @property
    def special_tokens(self) -> tuple[str, ...]:
        """The tokens that a vocabulary of this family must contain."""
        tokens = (self.pad, self.unknown, *self.start, *(self.separator or ()), *self.end)
        return tuple(dict.fromkeys(token for token in tokens if token is not None))


_WORD_PIECE = ("vocabulary.txt",)
_BYTE_PAIR = ("vocabulary.json", "merges.txt")
_SENTENCE_PIECE = ("vocabulary.spm",)

_CLS, _SEP = ("[CLS]",), ("[SEP]",)
_BEGIN, _END = ("<s>",), ("</s>",)

_FAMILIES = (
    TokenFamily(
        "bert", "WordPieceTokenizer", _WORD_PIECE, _CLS, _SEP, _SEP, "[PAD]", "[UNK]",
        segments=True, lowercase=True, strips_accents=True,
    ),
    TokenFamily(
        "roberta", "BytePairTokenizer", _BYTE_PAIR, _BEGIN, _END * 2, _END, "<pad>", None,
    ),
    TokenFamily(
        "xlm_roberta", "XLMRobertaTokenizer", _SENTENCE_PIECE, _BEGIN, _END * 2, _END, "<pad>",
        "<unk>",
    ),
    TokenFamily(
        "deberta_v3", "DebertaV3Tokenizer", _SENTENCE_PIECE, _CLS, _SEP, _SEP, "[PAD]", "[UNK]",
    ),
    TokenFamily(
        "albert", "AlbertTokenizer", _SENTENCE_PIECE, _CLS, _SEP, _SEP, "<pad>", "<unk>",
        segments=True, lowercase=True, strips_accents=True,
    ),
    TokenFamily(
        "clip", "CLIPTokenizer", _BYTE_PAIR, ("<|startoftext|>",), None, ("<|endoftext|>",), None,
        None, lowercase=True,
    ),
    TokenFamily(
        "siglip", "SigLIPTokenizer", _SENTENCE_PIECE, (), None, _END, "</s>", "<unk>",
        lowercase=True, strips_punctuation=True,
    ),
    # SigLIP 2 has Gemma's vocabulary; it was trained on lower-case texts with their punctuation.
    TokenFamily(
        "siglip2", "GemmaTokenizer", _SENTENCE_PIECE, (), None, ("<eos>",), "<pad>", "<unk>",
        lowercase=True,
    ),
)  # fmt: skip

TOKEN_FAMILIES: Mapping[str, TokenFamily] = MappingProxyType({f.name: f for f in _FAMILIES})
