"""Reading the lines of a stored file, from any place in it."""

from collections.abc import AsyncIterator

from shared.batches.files import FileStore
from shared.batches.lines import LineSplitter, RawLine
from shared.batches.model import START, Cursor, StoredFile


class InputGone(Exception):
    """A piece of the file is not there any more."""


async def read_lines(
    files: FileStore,
    file: StoredFile,
    start: Cursor = START,
    *,
    max_bytes: int,
) -> AsyncIterator[list[RawLine]]:
    """The lines from a place on, those of a piece together; may give none for a piece.

    Args:
        max_bytes: The longest line.

    Raises:
        InputGone: A piece is not there.
        LineTooLong: A line is.
        StoreUnavailable: No answer.
    """
    splitter = LineSplitter(start, max_bytes=max_bytes)
    for part in range(start.part, file.parts):
        offset = start.offset if part == start.part else 0
        # With the byte before it: where a line ends with its piece, nothing comes after.
        before = min(offset, 1)
        piece = await files.read(file.id, part, offset - before)
        if not piece:
            raise InputGone(file.id)
        yield list(splitter.feed(piece[before:], part, offset))
    yield [RawLine(line.text, line.physical, Cursor(line=line.next.line, part=file.parts)) for line in splitter.rest()]
