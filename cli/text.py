"""Text from elsewhere, made safe for a terminal."""

import re

# Everything that could steer a terminal; line ends and tabs stay.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def plain(text: object) -> str:
    """Return the text with each control character that could steer the terminal replaced."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", str(text))
