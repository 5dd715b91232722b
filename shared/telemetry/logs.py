"""Structured logs: one line per fact, JSON for machines or text for a terminal, on the standard library's logging."""

import asyncio
import logging
import re
import sys
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from enum import Enum
from typing import Any, Protocol, TextIO

import orjson

# What every record has; all else on it came in through ``extra`` and is a field of ours.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}
_LEVELS = {level: logging.getLevelName(level).lower() for level in (10, 20, 30, 40, 50)}
# Libraries that log at INFO what we log better, or that log URLs with keys in them.
_VERBOSE = ("httpx", "httpcore", "asyncio", "arq", "uvicorn.access", "uvicorn.error")
_SECRETS = re.compile(
    r"""(?P<lead> \bbearer\s+ | (?:[?&"'\s]|^)(?:api[-_]?key|key|access_token|password|secret)["']?\s*[=:]\s*["']?
        | ://[^/\s:@]*:(?=[^/\s@]+@) ) [^\s&"',@]+ | \b(?:sk|whsec|gsk|xai|AIza)[-_]?[A-Za-z0-9_-]{12,}""",
    re.VERBOSE | re.IGNORECASE,
)
# Quiet lines leave together, after so long: a system call for each costs more than its making.
KEPT_S = 0.02
_COLOURS = {logging.WARNING: 33, logging.ERROR: 31, logging.CRITICAL: 31}
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class LogOptions(Protocol):
    """The options of ``[log]`` that matter here."""

    @property
    def level(self) -> str:
        """``debug``, ``info``, ``warning`` or ``error``."""

    @property
    def format(self) -> str:
        """``json`` or ``text``."""


def configure(options: LogOptions, tier: str, stream: TextIO | None = None) -> None:
    """Send every log of this process to standard error, in one format; call it once, at the composition root.

    Args:
        options: Level and format.
        tier: A field of each JSON line: ``api``, ``worker``, ``cli``.
        stream: Instead of standard error.
    """
    stream = stream or sys.stderr
    form = JsonLines(tier) if options.format == "json" else TextLines(coloured=stream.isatty())
    handler = JoinedLines(stream, form)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(options.level.upper())
    if root.level > logging.DEBUG:
        for name in _VERBOSE:
            logging.getLogger(name).setLevel(logging.WARNING)
    # Documented ways to spare each record facts that no line shows: half of a line's cost.
    # https://docs.python.org/3/howto/logging.html#optimization
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging.logAsyncioTasks = False  # type: ignore[attr-defined,unused-ignore] # from Python 3.12 on
    logging._srcfile = None  # noqa: SLF001 - the documented switch


def scrub(text: str) -> str:
    """Mask what looks like a credential: keys of providers, bearer tokens, passwords in URLs."""
    return _SECRETS.sub(lambda found: f"{found['lead'] or ''}****", text)


class Clock:
    """Writes times as RFC 3339 in UTC with milliseconds; the part up to the second is kept while it lasts."""

    def __init__(self) -> None:
        self._second = -1
        self._prefix = ""

    def write(self, at: float) -> str:
        """The time of ``at``, Unix seconds."""
        second = int(at)
        if second != self._second:
            self._prefix = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._second = second
        return f"{self._prefix}.{int((at - second) * 1000):03d}Z"


class JoinedLines(logging.StreamHandler[TextIO]):
    """Writes lines to a stream; in an event loop, those below a warning are kept for a moment and written together."""

    def __init__(self, stream: TextIO, form: logging.Formatter) -> None:
        super().__init__(stream)
        self.setFormatter(form)
        self.json = form if isinstance(form, JsonLines) else None
        self._kept: deque[str] = deque()  # of which both ends are safe between threads, without the lock
        self._flushing: asyncio.AbstractEventLoop | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, soon."""
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001 - as the standard library's handlers do
            self.handleError(record)
            return
        self.put(line, at_once=record.levelno >= logging.WARNING)

    def put(self, line: str, *, at_once: bool = False) -> None:
        """Write a line, soon or at once."""
        loop = None if at_once else asyncio._get_running_loop()  # noqa: SLF001 - does not raise, is documented
        self._kept.append(line)
        if loop is None:
            self.flush()
        elif self._flushing is not loop:
            self._flushing = loop
            loop.call_later(KEPT_S, self.flush)

    def flush(self) -> None:
        """Write what is kept."""
        self.acquire()
        try:
            self._flushing = None  # first: a line that comes meanwhile asks for another flush
            kept = [self._kept.popleft() for _ in range(len(self._kept))]
            with suppress(OSError, ValueError):  # a closed pipe or stream: nobody is left to read it
                if kept:
                    self.stream.write("\n".join(kept) + "\n")
                super().flush()
        finally:
            self.release()


class RequestLines:
    """Writes the line of each request: past the standard library's machinery where only our own handler listens.

    A record on its way through loggers, filters and handlers costs three times the line itself (measured: 18 us of a
    request's 140; so 6).
    """

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def write(self, message: str, fields: dict[str, object]) -> None:
        """Write a line at INFO, if anybody wants to see it."""
        logger = self._logger
        if not logger.isEnabledFor(logging.INFO):
            return
        handlers = logger.root.handlers
        first = handlers[0] if len(handlers) == 1 and not logger.handlers else None
        if isinstance(first, JoinedLines) and first.json is not None:
            first.put(first.json.line(time.time(), "info", logger.name, message, fields))
        else:
            logger.info(message, extra=fields)


class JsonLines(logging.Formatter):
    """A record as one JSON object: ts, level, logger, tier, message, and every field given as ``extra``."""

    def __init__(self, tier: str) -> None:
        super().__init__()
        self._tier = tier
        self._clock = Clock()

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        fields = {name: value for name, value in record.__dict__.items() if name not in _STANDARD}
        if record.exc_info:
            fields["exception"] = scrub(self.formatException(record.exc_info))
        level = _LEVELS.get(record.levelno) or record.levelname.lower()
        return self.line(record.created, level, record.name, _message_of(record), fields)

    def line(self, created: float, level: str, logger: str, message: str, fields: Mapping[str, object]) -> str:
        """A line of its parts; ``created`` is Unix seconds."""
        at = self._clock.write(created)
        return _dump({"ts": at, "level": level, "logger": logger, "tier": self._tier, "message": message, **fields})


class TextLines(logging.Formatter):
    """A record as a line for people: time of day, level, logger, message, fields as ``name=value``.

    Args:
        coloured: Warnings are yellow and errors red: for a terminal.
    """

    def __init__(self, *, coloured: bool = False) -> None:
        super().__init__()
        self._coloured = coloured

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end; only a traceback makes it several."""
        at = time.strftime("%H:%M:%S", time.localtime(record.created))
        fields = "".join(f" {name}={_plain(value)}" for name, value in record.__dict__.items() if name not in _STANDARD)
        line = _CONTROL.sub(" ", f"{at} {record.levelname:<7} {record.name} {_message_of(record)}{fields}")
        if self._coloured and record.levelno in _COLOURS:
            line = f"\x1b[{_COLOURS[record.levelno]}m{line}\x1b[0m"
        if record.exc_info:
            line += "\n" + scrub(self.formatException(record.exc_info))
        return line


def _plain(value: object) -> str:
    """A field's value without Python's notation: ``a,b`` of a list, ``name:value`` of a table, an enum's value."""
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, Mapping):
        return ",".join(f"{name}:{_plain(item)}" for name, item in value.items()) or "-"
    if isinstance(value, list | tuple | set | frozenset):
        return ",".join(map(_plain, value)) or "-"
    if isinstance(value, float):
        return f"{value:g}"
    return "-" if value is None else str(value)


def _message_of(record: logging.LogRecord) -> str:
    """The message; masked where it is not our own one line per request, which holds nothing to mask."""
    message = record.getMessage()
    return message if record.levelno == logging.INFO and not record.args else scrub(message)


def _dump(line: dict[str, Any]) -> str:
    with suppress(TypeError, ValueError):  # the usual line; the option for other keys than texts takes 1 us more
        return orjson.dumps(line, default=str).decode()
    try:
        return orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    except (TypeError, ValueError):  # a lone surrogate, a number beyond 64 bits, a str() that fails
        safe = {name: repr(value) if name != "message" else ascii(value) for name, value in line.items()}
        return orjson.dumps(safe).decode()
