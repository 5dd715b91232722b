"""Structured logs: one line per fact, JSON for machines or text for a terminal, on the standard library's logging."""

import logging
import re
import sys
import time
from typing import Any, Protocol, TextIO

import orjson

# What every record has; all else on it came in through ``extra`` and is a field of ours.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}
_LEVELS = {level: logging.getLevelName(level).lower() for level in (10, 20, 30, 40, 50)}
# Libraries that say at INFO what we say better, or that say URLs with keys in them.
_TALKATIVE = ("httpx", "httpcore", "asyncio", "arq", "uvicorn.access", "uvicorn.error")
_SECRETS = re.compile(
    r"""(?P<lead> \bbearer\s+ | (?:[?&"'\s]|^)(?:api[-_]?key|key|access_token|password|secret)["']?\s*[=:]\s*["']?
        | ://[^/\s:@]*:(?=[^/\s@]+@) ) [^\s&"',@]+ | \b(?:sk|whsec|gsk|xai|AIza)[-_]?[A-Za-z0-9_-]{12,}""",
    re.VERBOSE | re.IGNORECASE,
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class LogOptions(Protocol):
    """What ``[log]`` says, as far as it matters here."""

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
        tier: Said on each JSON line: ``api``, ``worker``, ``cli``.
        stream: Instead of standard error.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines(tier) if options.format == "json" else TextLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(options.level.upper())
    if root.level > logging.DEBUG:
        for name in _TALKATIVE:
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


class JsonLines(logging.Formatter):
    """A record as one JSON object: ts, level, logger, tier, message, and every field given as ``extra``."""

    def __init__(self, tier: str) -> None:
        super().__init__()
        self._tier = tier
        self._clock = Clock()

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        line: dict[str, Any] = {
            "ts": self._clock.write(record.created),
            "level": _LEVELS.get(record.levelno) or record.levelname.lower(),
            "logger": record.name,
            "tier": self._tier,
            "message": _said(record),
        }
        line.update({name: value for name, value in record.__dict__.items() if name not in _STANDARD})
        if record.exc_info:
            line["exception"] = scrub(self.formatException(record.exc_info))
        return _dump(line)


class TextLines(logging.Formatter):
    """A record as a line for people: time of day, level, logger, message, fields as ``name=value``."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end; only a traceback makes it several."""
        at = time.strftime("%H:%M:%S", time.localtime(record.created))
        fields = "".join(f" {name}={value}" for name, value in record.__dict__.items() if name not in _STANDARD)
        line = _CONTROL.sub(" ", f"{at} {record.levelname:<7} {record.name} {_said(record)}{fields}")
        if record.exc_info:
            line += "\n" + scrub(self.formatException(record.exc_info))
        return line


def _said(record: logging.LogRecord) -> str:
    """The message; masked where it is not our own one line per request, which holds nothing to mask."""
    message = record.getMessage()
    return message if record.levelno == logging.INFO and not record.args else scrub(message)


def _dump(line: dict[str, Any]) -> str:
    try:
        return orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    except (TypeError, ValueError):  # a lone surrogate, a number beyond 64 bits, a str() that fails
        safe = {name: repr(value) if name != "message" else ascii(value) for name, value in line.items()}
        return orjson.dumps(safe).decode()
