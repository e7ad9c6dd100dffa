"""Finds characters in texts that tokenizers drop or misread."""

from __future__ import annotations

import re
from collections import Counter

_MOST_NAMED = 5  # largest number of characters that a message names
# Control characters except white space, private use, code points that are not characters, and those
# format characters that no script needs. Joiners, direction marks and tags of emoji are allowed.
_PLANES_ENDS = "".join(
    chr(plane * 0x10000 + end) for plane in range(17) for end in (0xFFFE, 0xFFFF)
)
_CONTROL = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x9f\u00ad\u180e\u200b\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    f"\ue000-\uf8ff\U000f0000-\U000ffffd\U00100000-\U0010fffd\ufdd0-\ufdef{_PLANES_ENDS}]"
)


def control_characters(text: str) -> str | None:
    r"""Describes the control characters of a text.

    Args:
        text: The text.

    Returns:
        A message that names the characters and the solution; `None` if there are none.

    Example:
        >>> control_characters("good") is None, control_characters("good\0 bad")[:47]
        (True, 'the text contains control characters: U+0000. N')
    """
    counts = Counter(_CONTROL.findall(text))
    if not counts:
        return None
    named = [
        f"U+{ord(character):04X}" + (f" ({count} times)" if count > 1 else "")
        for character, count in sorted(counts.items())
    ]
    more = f" and {len(named) - _MOST_NAMED} more" if len(named) > _MOST_NAMED else ""
    return (
        f"the text contains control characters: {', '.join(named[:_MOST_NAMED])}{more}. NUL "
        "(U+0000) is dropped; the tokenizer drops the others, or reads them as a space or a rare "
        "token. Remove them; if they come from a wrong encoding, read the file with its own."
    )
