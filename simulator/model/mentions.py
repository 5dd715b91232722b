"""What a user names in a question, so that an answer speaks of it: the newest number, and what stands in quotes."""

import re
from dataclasses import dataclass

READ_CHARS = 20_000
_INTEGER = re.compile(r"(?<![\w.])-?\d{1,9}(?![\w]|\.\d)")
_QUOTED = re.compile(r"""(?<!\w)(['"`])(.{1,200}?)\1(?!\w)""")
_FIELD = re.compile(r"[A-Za-z_]\w{0,39}")


@dataclass(frozen=True, slots=True)
class Mentions:
    """What was named.

    Attributes:
        integer: The newest one; None if there is none.
        quoted: Everything in quotes, in order.
    """

    integer: int | None = None
    quoted: tuple[str, ...] = ()

    @property
    def fields(self) -> tuple[str, ...]:
        """Those of the quoted that can be names of fields, each once."""
        return tuple(dict.fromkeys(name for name in self.quoted if _FIELD.fullmatch(name)))


NONE = Mentions()


def find_mentions(text: str) -> Mentions:
    """What the text names; of a very long one, only its end is read."""
    read = text[-READ_CHARS:]
    integers = _INTEGER.findall(read)
    return Mentions(int(integers[-1]) if integers else None, tuple(quoted for _, quoted in _QUOTED.findall(read)))
