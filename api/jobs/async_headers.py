"""Parses the ``x-bf-async`` family of request headers; errors name the header."""

import math
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from api.http.request_context import RequestContext
from shared.errors import InvalidRequest
from shared.jobs.model import MAX_DELAY_S, Priority
from shared.settings.model import Settings

MAX_WAIT_S = 60.0


MAX_VALUE_CHARS = 256
MAX_URL_CHARS = 2048
MAX_KEY_CHARS = 255

SUBMIT = b"x-bf-async"
POLL = b"x-bf-async-id"
WAIT = b"x-bf-async-wait"
TTL = b"x-bf-async-job-result-ttl"
WEBHOOK = b"x-bf-async-webhook"
PRIORITY = b"x-bf-async-priority"
DELAY = b"x-bf-async-delay"
DEADLINE = b"x-bf-async-deadline"
PATIENCE = b"x-bf-async-patience"
IDEMPOTENCY = b"idempotency-key"
RETRY_COUNT = b"x-stainless-retry-count"

_ALL = frozenset({SUBMIT, POLL, WAIT, TTL, WEBHOOK, PRIORITY, DELAY, DEADLINE, PATIENCE, IDEMPOTENCY})
_SPELLINGS = {IDEMPOTENCY: "Idempotency-Key"}
OVERFLOW = "overflow"
_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off", ""})
_NUMBER = re.compile(r"\+?(\d+(\.\d*)?|\.\d+)")
_PREFER_WAIT = re.compile(r'(?:^|[,;])\s*wait\s*=\s*"?(\d{1,9})"?\s*(?=$|[,;])', re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitOptions:
    """The options in a submit's headers; fields as in ``NewJob``.

    Attributes:
        patience_s: How long the caller can wait for the answer, 0: it wants it now; None: the request does not say.
    """

    ttl_s: int
    wait_s: float
    webhook: str
    priority: Priority
    delay_s: float
    deadline_s: float | None
    idempotency_key: str
    blind_retry: bool
    patience_s: float | None = None


def wants_job(context: RequestContext) -> bool:
    """Whether ``x-bf-async`` asks for a job in any case.

    Raises:
        InvalidRequest: The value is unknown.
    """
    if SUBMIT not in context.headers:
        return False
    word = _value(context, SUBMIT).lower()
    if word in _TRUE:
        return True
    if word in _FALSE or word == OVERFLOW:
        return False
    raise InvalidRequest(
        "The header x-bf-async must be one of 1, true, yes, on (submit as a job), overflow (answer now, or submit as a "
        "job where there is no room), or 0, false, no, off or empty (answer now).",
        param="x-bf-async",
    )


def wants_overflow(context: RequestContext) -> bool:
    """Whether ``x-bf-async: overflow`` asks for an answer now, and for a job where the provider has no room."""
    return SUBMIT in context.headers and _value(context, SUBMIT).lower() == OVERFLOW


def polled_id(context: RequestContext) -> str:
    """The job that ``x-bf-async-id`` asks for; any text of any length, which may name nothing."""
    return context.headers.get(POLL, b"").strip().decode("latin-1")


def wait_s(context: RequestContext) -> float:
    """How long the caller is ready to wait for the outcome, 0 to ``MAX_WAIT_S`` seconds.

    From ``x-bf-async-wait``, else from ``Prefer: wait=N`` (https://www.rfc-editor.org/rfc/rfc7240#section-4.3), of
    which a malformed one is ignored as that document asks.

    Raises:
        InvalidRequest: ``x-bf-async-wait`` is no number of seconds.
    """
    if WAIT in context.headers:
        return min(_seconds(context, WAIT), MAX_WAIT_S)
    prefer = context.headers.get(b"prefer")
    if prefer is None:
        return 0.0
    found = _PREFER_WAIT.search(prefer.decode("latin-1"))
    return min(float(found[1]), MAX_WAIT_S) if found else 0.0


def submit_options(context: RequestContext, settings: Settings) -> SubmitOptions:
    """Parse the headers of a submit.

    Raises:
        InvalidRequest: A header is invalid; ``param`` names it.
    """
    return SubmitOptions(
        ttl_s=_ttl_s(context, settings),
        wait_s=wait_s(context),
        webhook=_webhook(context, settings) if WEBHOOK in context.headers else "",
        priority=_priority(context),
        delay_s=_delay_s(context),
        deadline_s=_deadline_s(context),
        idempotency_key=_idempotency_key(context),
        blind_retry=_is_blind_retry(context),
        patience_s=min(_seconds(context, PATIENCE), MAX_DELAY_S) if PATIENCE in context.headers else None,
    )


def _value(context: RequestContext, name: bytes, longest: int = MAX_VALUE_CHARS) -> str:
    """A header's text without the white space around it."""
    if context.repeated:
        _refuse_repetition(context)
    raw = context.headers.get(name, b"").strip()
    if len(raw) > longest:
        raise InvalidRequest(f"The header {_spell(name)} is longer than {longest} characters.", param=_spell(name))
    return raw.decode("latin-1")


def _refuse_repetition(context: RequestContext) -> None:
    for name in context.repeated & _ALL:
        raise InvalidRequest(f"The header {_spell(name)} was sent more than once; send it once.", param=_spell(name))


def _spell(name: bytes) -> str:
    return _SPELLINGS.get(name) or name.decode()


def _seconds(context: RequestContext, name: bytes) -> float:
    text = _value(context, name)
    if not _NUMBER.fullmatch(text):
        raise InvalidRequest(
            f"The header {_spell(name)} must be a number of seconds, 0 or more, e.g. 30.", param=_spell(name)
        )
    return float(text)


def _ttl_s(context: RequestContext, settings: Settings) -> int:
    """Seconds; whatever is no positive number means the default, whatever is too long the longest."""
    jobs = settings.jobs
    if TTL in context.headers:
        text = _value(context, TTL)
        seconds = float(text) if _NUMBER.fullmatch(text) else 0.0
        if seconds > 0:
            return min(max(1, int(min(seconds, jobs.max_result_ttl_s))), jobs.max_result_ttl_s)
    return min(jobs.result_ttl_s, jobs.max_result_ttl_s)


def _priority(context: RequestContext) -> Priority:
    if PRIORITY not in context.headers:
        return Priority.NORMAL
    word = _value(context, PRIORITY).lower()
    try:
        return Priority(word or "normal")
    except ValueError:
        raise InvalidRequest(
            "The header x-bf-async-priority must be high, normal or low.", param=_spell(PRIORITY)
        ) from None


def _delay_s(context: RequestContext) -> float:
    return min(_seconds(context, DELAY), MAX_DELAY_S) if DELAY in context.headers else 0.0


def _deadline_s(context: RequestContext) -> float | None:
    if DEADLINE not in context.headers:
        return None
    seconds = _seconds(context, DEADLINE)
    if seconds <= 0:
        raise InvalidRequest(
            "The header x-bf-async-deadline must be more than 0 seconds from now.", param=_spell(DEADLINE)
        )
    return min(seconds, MAX_DELAY_S)


def _idempotency_key(context: RequestContext) -> str:
    if IDEMPOTENCY not in context.headers:
        return ""
    key = _value(context, IDEMPOTENCY, MAX_KEY_CHARS)
    if not key or not key.isascii() or not key.isprintable():
        raise InvalidRequest(
            f"The header Idempotency-Key must be 1 to {MAX_KEY_CHARS} printable ASCII characters.",
            param=_spell(IDEMPOTENCY),
        )
    return key


def _is_blind_retry(context: RequestContext) -> bool:
    """Whether the SDK repeats a request whose answer it did not get: it then sends no idempotency key of its own.

    Never for a caller without any identity: the job that the same body made may be another caller's.
    """
    if not (context.caller.key_id or context.caller.scope):
        return False
    count = context.headers.get(RETRY_COUNT)
    return count is not None and count.isdigit() and len(count) < 10 and int(count) >= 1


def _webhook(context: RequestContext, settings: Settings) -> str:
    """A configured webhook's name, or a URL that may be called."""
    text = _value(context, WEBHOOK, MAX_URL_CHARS)
    if text in settings.webhooks:
        return text
    if "://" not in text:
        raise InvalidRequest(
            f"Unknown webhook {text[:64]!r}: the header x-bf-async-webhook must be the name of a configured webhook or "
            "an https URL.",
            param=_spell(WEBHOOK),
        )
    fault = _url_fault(text, insecure=settings.server.allow_private_network)
    if fault:
        raise InvalidRequest(f"The URL in x-bf-async-webhook {fault}.", param=_spell(WEBHOOK))
    return text


def _url_fault(url: str, *, insecure: bool) -> str:
    """What is wrong with a webhook's URL as written; where it leads is checked when it is called."""
    if not url.isascii() or not url.isprintable() or " " in url:
        return "must hold printable ASCII characters only"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return "is not a valid URL"
    if parts.scheme != "https" and not (insecure and parts.scheme == "http"):
        return "must start with https://"
    if not host or port == 0:
        return "names no host"
    if parts.username is not None or parts.password is not None:
        return "must not hold credentials"
    return ""


def retry_after_s(*, open_ms: int, due_in_ms: int) -> int:
    """When an open job is worth asking for again: soon while it is young, later as it grows old.

    Args:
        open_ms: Since its submit.
        due_in_ms: Until it may, or will probably, start; 0: it runs, or nobody knows.
    """
    if due_in_ms > 0:
        return max(1, min(30, math.ceil(due_in_ms / 1000)))
    return 1 if open_ms < 10_000 else 2 if open_ms < 60_000 else 5
