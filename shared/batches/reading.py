"""Reads the lines of a stored file, from any cursor."""

from collections.abc import AsyncIterator

from shared.batches.files import FileStore
from shared.batches.lines import LineSplitter, RawLine
from shared.batches.model import START, Cursor, StoredFile
from shared.errors import BodyLost


class InputGone(Exception):
    """A part of the input file no longer exists."""


async def read_lines(
    files: FileStore,
    file: StoredFile,
    start: Cursor = START,
    *,
    max_bytes: int,
) -> AsyncIterator[list[RawLine]]:
    """Yield the lines from a cursor on, one list per part, which may be empty.

    Args:
        max_bytes: Maximum length of a line.

    Raises:
        InputGone: A part does not exist.
        LineTooLong: A line is longer than ``max_bytes``.
        StoreUnavailable: No answer.
    """
    splitter = LineSplitter(start, max_bytes=max_bytes)
    for part in range(start.part, file.parts):
        offset = start.offset if part == start.part else 0
        # Including the byte before: at the end of a part the rest is empty, as it is for a missing part.
        before = min(offset, 1)
        try:
            piece = await files.read(file.id, part, offset - before)
        except BodyLost as error:
            raise InputGone(file.id) from error
        if not piece:
            raise InputGone(file.id)
        yield list(splitter.feed(piece[before:], part, offset))
    yield [
        RawLine(line.text, line.physical, Cursor(line=line.next.line, part=file.parts)) for line in splitter.finish()
    ]
