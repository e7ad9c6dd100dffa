"""The texts of the sample data, and a vocabulary that covers them."""

from __future__ import annotations

import itertools
import re
import string

from keras_mm.data.samples.scenes import COLOURS, PLACES, SHAPES

# The phrases of an axis must not hint at a direction, and those of a direction not at an axis.
WATCH = {
    "light": [
        "Watch the light.",
        "Watch the brightness of the {thing}.",
        "Look at the light {place}.",
        "Compare the brightness.",
        "How bright is the {thing}?",
    ],
    "size": [
        "Watch the size.",
        "Watch the width of the {thing}.",
        "Look at the size {place}.",
        "Compare the width.",
        "How wide is the {thing}?",
    ],
}
CLAIM = {
    "up": [
        "It goes up.",
        "Then it goes up.",
        "Now it goes up.",
        "In the second picture it goes up.",
        "It goes up from here.",
    ],
    "down": [
        "It goes down.",
        "Then it goes down.",
        "Now it goes down.",
        "In the second picture it goes down.",
        "It goes down from here.",
    ],
}


def _words() -> tuple[str, ...]:
    phrases = itertools.chain(*WATCH.values(), *CLAIM.values(), SHAPES, COLOURS, PLACES)
    text = re.sub(r"{\w+}", "", " ".join(phrases))
    return tuple(sorted(set(re.findall("[a-z]+", text.lower()))))


SAMPLE_WORDS: tuple[str, ...] = _words()


def sample_vocabulary() -> list[str]:
    """A WordPiece vocabulary for the sample data: its words, and pieces for any other ASCII word.

    Returns:
        The tokens in id order: `[PAD]`, `[UNK]`, `[CLS]`, `[SEP]`, `[MASK]`, letters and digits,
        the same as `##` pieces, the words of the texts in lower case, and punctuation.
    """
    characters = [*string.ascii_lowercase, *string.digits]
    pieces = [f"##{character}" for character in characters]
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    return [*special, *characters, *pieces, *SAMPLE_WORDS, *string.punctuation]
