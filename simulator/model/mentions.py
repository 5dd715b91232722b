"""Values mentioned in a question, for use in the answer: the latest number and quoted texts."""

import re
from dataclasses import dataclass

READ_CHARS = 20_000
_INTEGER = re.compile(r"(?<![\w.])-?\d{1,9}(?![\w]|\.\d)")
_QUOTED = re.compile(r"""(?<!\w)(['"`])(.{1,200}?)\1(?!\w)""")
_FIELD = re.compile(r"[A-Za-z_]\w{0,39}")


@dataclass(frozen=True, slots=True)
class Mentions:
    """The values mentioned.

    Attributes:
        integer: The newest one; None if there is none.
        quoted: Everything in quotes, in order.
    """

    integer: int | None = None
    quoted: tuple[str, ...] = ()

    @property
    def fields(self) -> tuple[str, ...]:
        """Return the quoted texts that can be field names, each once."""
        return tuple(dict.fromkeys(name for name in self.quoted if _FIELD.fullmatch(name)))


NONE = Mentions()


def find_mentions(text: str) -> Mentions:
    """Find the values mentioned in a text; of a very long text, only the end is read."""
    read = text[-READ_CHARS:]
    integers = _INTEGER.findall(read)
    return Mentions(int(integers[-1]) if integers else None, tuple(quoted for _, quoted in _QUOTED.findall(read)))
