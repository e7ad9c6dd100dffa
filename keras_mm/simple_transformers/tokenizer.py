"""`model.tokenizer`: the tokenizer of a model, with the methods that scripts use."""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike
from pathlib import Path

from keras_mm.data.text.tokenizer import Tokenizer
from keras_mm.estimator.classifier import MultimodalClassifier
from keras_mm.simple_transformers.args import ModelArgs
from keras_mm.simple_transformers.weights import text_backbone


class ModelTokenizer:
    """A tokenizer with the names of Hugging Face; attributes can be set, but have no effect.

    Args:
        tokenizer: The tokenizer that the model reads texts with.

    Attributes:
        tokenizer: The argument.
        vocab_size: Number of tokens in the vocabulary, with added special tokens.

    Example:
        >>> tokenizer = ModelTokenizer(Tokenizer.load("tiny_bert"))
        >>> tokenizer.tokenize("a red circle")
        ['a', 'red', 'circle']
    """

    def __init__(self, tokenizer: Tokenizer):
        self.tokenizer = tokenizer
        self.vocab_size = tokenizer.vocabulary_size

    def __len__(self) -> int:
        """Number of tokens in the vocabulary."""
        return self.vocab_size

    def encode(self, text: str) -> list[int]:
        """Converts a text to ids, with the tokens at the start and end of a sequence.

        Args:
            text: The text.

        Returns:
            The ids of the tokens.
        """
        family = self.tokenizer.family
        length = int(self.tokenizer.count([text])[0]) + len(family.start) + len(family.end)
        packed = self.tokenizer.pack(([text],), max(length, 4))
        return packed["token_ids"][0][packed["padding_mask"][0]].tolist()

    def tokenize(self, text: str) -> list[str]:
        """Splits a text into tokens, without those at the start and end of a sequence.

        Args:
            text: The text.

        Returns:
            The tokens.
        """
        family = self.tokenizer.family
        ids = self.encode(text)
        return self.convert_ids_to_tokens(ids[len(family.start) : len(ids) - len(family.end)])

    def convert_ids_to_tokens(self, ids: Iterable[int]) -> list[str]:
        """Converts ids to tokens.

        Args:
            ids: Ids of tokens, in [0, vocab_size).

        Returns:
            The tokens.
        """
        tokens = {number: token for token, number in self.get_vocab().items()}
        return [tokens[int(number)] for number in ids]

    def get_vocab(self) -> dict[str, int]:
        """The vocabulary.

        Returns:
            Ids by token.
        """
        return self.tokenizer.token_ids()

    def save_pretrained(self, save_directory: str | PathLike) -> None:
        """Saves the vocabulary.

        Args:
            save_directory: The folder; it is created if it does not exist.
        """
        Path(save_directory).mkdir(parents=True, exist_ok=True)
        self.tokenizer.save(save_directory)


def tokenizer_of(classifier: MultimodalClassifier | None, args: ModelArgs) -> ModelTokenizer:
    """Creates the tokenizer of a model.

    Args:
        classifier: The trained classifier; `None` before the first training.
        args: The settings, with the name of the text network.

    Returns:
        The tokenizer.
    """
    if classifier is not None and classifier.preprocessor_.tokenizer is not None:
        return ModelTokenizer(classifier.preprocessor_.tokenizer)
    return ModelTokenizer(Tokenizer.load(text_backbone(str(args.model_type), str(args.model_name))))
