"""Reads and writes vocabularies: files, folders and KerasHub handles."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from keras_mm.data.text.families import TokenFamily
from keras_mm.data.text.token_ids import VocabularyTokens
from keras_mm.downloads import from_handle
from keras_mm.errors import InvalidValueError, MissingFileError
from keras_mm.presets.backbones import BACKBONES


class Vocabulary(NamedTuple):
    """A vocabulary with the matching keywords of `Tokenizer`.

    Attributes:
        tokens: Tokens in id order (WordPiece), a dict from tokens to ids (byte pairs), or the bytes
            of a SentencePiece model.
        options: Other keywords of `Tokenizer`.
    """

    tokens: list[str] | dict[str, int] | bytes
    options: dict[str, Any]


# Families by KerasHub's tokenizer class. SigLIP 2 uses Gemma's tokenizer.
_CLASSES = {
    "WordPieceTokenizer": "bert",
    "RobertaTokenizer": "roberta",
    "XLMRobertaTokenizer": "xlm_roberta",
    "DebertaV3Tokenizer": "deberta_v3",
    "AlbertTokenizer": "albert",
    "CLIPTokenizer": "clip",
    "SigLIPTokenizer": "siglip",
    "GemmaTokenizer": "siglip2",
}
_WORD_PIECE_CLASSES = ("BertTokenizer", "DistilBertTokenizer", "ElectraTokenizer")

# Families by the vocabulary file of a Hugging Face folder.
_FILES = {
    "vocab.txt": "bert",
    "vocab.json": "roberta",
    "sentencepiece.bpe.model": "xlm_roberta",
    "spm.model": "deberta_v3",
    "spiece.model": "albert",
}


def from_path(path: Path) -> Vocabulary:
    """Reads the vocabulary of a Hugging Face or KerasHub folder.

    Args:
        path: The folder, or its vocabulary file.

    Returns:
        The vocabulary.

    Raises:
        ValueError: if there is no vocabulary, or its family is not supported.
    """
    folder = path if path.is_dir() else path.parent
    assets = folder / "assets" / "tokenizer"
    if path.is_dir() and assets.is_dir():
        stated = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
        return read_files(assets, _family_of(stated["class_name"]), stated.get("config", {}))
    present = [file for file in map(folder.joinpath, _FILES) if file.is_file()]
    file = path if path.is_file() else next(iter(present), path)
    family = _FILES.get(file.name, "bert" if file.suffix == ".txt" else None)
    if file.is_file() and family is not None:
        family = _model_family(folder, family)
        return _read(file, folder / "merges.txt", family, _hugging_face_options(folder))
    raise InvalidValueError(
        f"No vocabulary in {str(path)!r}. A Hugging Face folder must contain vocab.txt (BERT), "
        "vocab.json and merges.txt (RoBERTa), sentencepiece.bpe.model (XLM-RoBERTa), spm.model "
        "(DeBERTa-v3) or spiece.model (ALBERT); a KerasHub folder must contain assets/tokenizer."
    )


def from_name(name: str) -> Vocabulary:
    """Downloads the vocabulary of a named backbone.

    Args:
        name: A name in `keras_mm.presets.backbones`, or a KerasHub handle.

    Returns:
        The vocabulary.

    Raises:
        ValueError: if there is no such backbone, or its family is not supported.
        keras_mm.errors.PretrainedError: if the download fails.
    """
    backbone = BACKBONES.get(name)
    handle = backbone.handle if backbone and backbone.handle else name
    what = f"tokenizer of {name!r}"
    return from_keras_hub(from_handle("Tokenizer", handle, what=what, keyword="text_weights"))


def from_keras_hub(tokenizer: Any) -> Vocabulary:
    """Takes the vocabulary out of a KerasHub tokenizer.

    Args:
        tokenizer: The tokenizer.

    Returns:
        The vocabulary.

    Raises:
        ValueError: if its family is not supported.
    """
    names = [kind.__name__ for kind in type(tokenizer).__mro__]
    family = next((_CLASSES[name] for name in names if name in _CLASSES), None)
    if family is None:
        raise InvalidValueError(
            "`tokenizer` must be a KerasHub tokenizer "
            f"({', '.join(_CLASSES)}), a folder with a vocabulary, or the name of a backbone. "
            f"Received: {names[0]}"
        )
    if family == "bert":
        options = _case(tokenizer.lowercase, tokenizer.strip_accents or None)
        return Vocabulary(tokenizer.get_vocabulary(), {"family": family, **options})
    if hasattr(tokenizer, "merges"):
        options = {"family": family, "merges": _rules(tokenizer.merges)}
        return Vocabulary(dict(tokenizer.vocabulary), options)
    return Vocabulary(tokenizer.proto, {"family": family})


def read_files(folder: Path, family: str, options: Mapping[str, Any]) -> Vocabulary:
    """Reads a vocabulary from files with KerasHub's names.

    Args:
        folder: The folder of the files.
        family: Name of the family.
        options: The tokenizer's config as KerasHub saved it; may be empty.

    Returns:
        The vocabulary.

    Raises:
        FileNotFoundError: if the folder contains no vocabulary.
    """
    names = ("vocabulary.txt", "vocabulary.json", "vocabulary.spm")
    file = next((folder / name for name in names if (folder / name).is_file()), None)
    if file is None:
        raise MissingFileError(
            f"No vocabulary in {str(folder)!r}: it contains none of {', '.join(names)}. Copy the "
            "whole folder again from where it was saved."
        )
    case = {}
    # KerasHub saves `strip_accents=False` by default, so False does not mean to keep accents.
    if "lowercase" in options:
        case = _case(options["lowercase"], options.get("strip_accents") or None)
    return _read(file, folder / "merges.txt", family, case)


def write_files(
    folder: Path, family: TokenFamily, tokens: VocabularyTokens, merges: Sequence[str]
) -> None:
    """Writes a vocabulary to files with KerasHub's names.

    Args:
        folder: An existing folder.
        family: The vocabulary's family, which determines the file names.
        tokens: As in `Vocabulary`.
        merges: Merge rules; byte pairs only.
    """
    first, *others = family.files
    if isinstance(tokens, bytes):
        (folder / first).write_bytes(tokens)
    elif isinstance(tokens, Mapping):
        text = json.dumps(tokens, ensure_ascii=False)
        (folder / first).write_text(text + "\n", encoding="utf-8")
    else:
        (folder / first).write_text("\n".join(tokens) + "\n", encoding="utf-8")
    for name in others:
        (folder / name).write_text("\n".join(merges) + "\n", encoding="utf-8")


def _read(file: Path, merges: Path, family: str, options: dict) -> Vocabulary:
    options = {"family": family, **options}
    if file.suffix == ".json":
        rules = _rules(_lines(merges))
        tokens = json.loads(file.read_text(encoding="utf-8"))
        return Vocabulary(tokens, {**options, "merges": rules})
    if family == "bert":
        return Vocabulary(_lines(file), options)
    return Vocabulary(file.read_bytes(), options)


def _lines(file: Path) -> list[str]:
    # Not `splitlines`, which also splits at U+2028: some vocabularies contain it.
    return file.read_text(encoding="utf-8").removesuffix("\n").split("\n")


def _rules(lines: Sequence[str]) -> list[str]:
    """Merge rules without the version line."""
    return [line for line in lines if line.strip() and not line.startswith("#version")]


def _family_of(class_name: str) -> str:
    name = "WordPieceTokenizer" if class_name in _WORD_PIECE_CLASSES else class_name
    if name not in _CLASSES:
        raise InvalidValueError(
            f"The tokenizer class {class_name} is not supported. Supported: {', '.join(_CLASSES)}."
        )
    return _CLASSES[name]


def _model_family(folder: Path, family: str) -> str:
    """The family of a folder's vocabulary: that of its file name, corrected by its `config.json`.

    Raises:
        ValueError: for a SentencePiece model of a family that is not supported.
    """
    config = folder / "config.json"
    stated = json.loads(config.read_text(encoding="utf-8")) if config.is_file() else {}
    model = stated.get("model_type", "")
    if family == "roberta" and model.startswith("clip"):
        return "clip"
    if family == "albert" and model not in ("", "albert"):
        raise InvalidValueError(f"The tokenizer of {model!r} in {str(folder)!r} is not supported.")
    return family


def _case(lowercase: Any, strip_accents: Any) -> dict:
    strip = None if strip_accents is None else bool(strip_accents)
    return {"lowercase": bool(lowercase), "strip_accents": strip}


def _hugging_face_options(folder: Path) -> dict:
    """The options for case and accents that a Hugging Face folder states; empty if it does not."""
    configs = [folder / name for name in ("tokenizer_config.json", "tokenizer.json")]
    settings: dict = {}
    for file in reversed([file for file in configs if file.is_file()]):  # the first has precedence
        stated = json.loads(file.read_text(encoding="utf-8"))
        settings |= (stated.get("normalizer") or {}) | stated
    lowercase = settings.get("do_lower_case", settings.get("lowercase"))
    strip_accents = settings.get("strip_accents")
    options = {"lowercase": lowercase, "strip_accents": strip_accents}
    return {name: bool(value) for name, value in options.items() if value is not None}
