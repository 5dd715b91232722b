"""Guardrails: endpoints of the operator's that allow, deny or replace requests and answers.

Each is asked by POST. It reads ``{"guardrail", "stage", "request_id", "job_id", "request_type", "model",
"virtual_key", "request"}``, and ``"answer"`` too at stage ``answer``; requests and answers are in OpenAI's format. It
replies ``{"verdict": "allow"}``, ``{"verdict": "deny", "reason": "..."}`` or ``{"verdict": "replace", "request" or
"answer": {...}}``. Neither the caller's headers nor its key are sent.
"""

import asyncio
import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

import httpx
import orjson

from shared.background import beside_loop
from shared.errors import GatewayError, GuardrailDenied, GuardrailUnavailable, InvalidRequest
from shared.governance.keys.caller import Caller
from shared.inference.call import Answer, Call, Target
from shared.providers.transport import BodyTooLarge, Limits, Origin, Timeouts, UpstreamTransport
from shared.settings.guardrails import MAX_KB, GuardrailSettings
from shared.surfaces.large_json import dump_object
from shared.surfaces.request_body import read_request
from shared.surfaces.request_types import CHAT, COMPLETIONS, RESPONSES, TRANSCRIPTIONS, TRANSLATIONS
from shared.telemetry.upstream import UpstreamWatch

Stage = Literal["request", "answer"]
MAX_CONNECTIONS = 1000
MAX_REASON = 500
MAX_PARSED = MAX_KB * 1024
_UNPRINTABLE = dict.fromkeys((*range(32), 127), " ")
TEXT_TYPES = frozenset(each.name for each in (CHAT, COMPLETIONS, RESPONSES, TRANSCRIPTIONS, TRANSLATIONS))
"""Request types whose answers are text; those of the others are numbers, pictures or sound."""

logger = logging.getLogger("finops.guardrails")


class UnusableReply(ValueError):
    """A guardrail cannot decide; the message says why.

    Args:
        problem: Why.
        transient: Whether it may decide on the same later.
    """

    def __init__(self, problem: str, *, transient: bool = False) -> None:
        super().__init__(problem)
        self.transient = transient


class Verdict(NamedTuple):
    """What a guardrail decided.

    Attributes:
        kind: The decision.
        reason: Why it denies, for the caller; empty: it does not say.
        body: What replaces the request or the answer; None: nothing.
    """

    kind: Literal["allow", "deny", "replace"]
    reason: str = ""
    body: dict[str, Any] | None = None


class Guardrail:
    """One endpoint.

    Args:
        name: Its name in the configuration.
        settings: Of it.
        transport: Carries its requests.

    Raises:
        ValueError: Its URL is invalid.
    """

    def __init__(self, name: str, settings: GuardrailSettings, transport: UpstreamTransport) -> None:
        self.name = name
        self.settings = settings
        self._transport = transport
        parts = urlsplit(settings.url)
        self._origin = Origin.parse(settings.url)
        self._target = ((parts.path or "/") + (f"?{parts.query}" if parts.query else "")).encode()
        headers = {
            "host": self._origin.authority.decode("ascii"),
            "content-type": "application/json",
            "accept": "application/json",
            **{key.lower(): value.get_secret_value() for key, value in settings.headers.items()},
        }
        self._lines = [(key.encode("latin-1"), value.encode("latin-1")) for key, value in headers.items()]
        limit_s = settings.timeout_s
        self._timeouts = Timeouts(
            connect_s=limit_s, first_byte_s=limit_s, idle_s=limit_s, total_s=limit_s, write_s=limit_s, pool_s=limit_s
        )

    def covers(self, caller: Caller, names: Iterable[str] | None) -> bool:
        """Tell whether it checks the calls of a caller.

        Args:
            caller: Who calls.
            names: The models that may answer; None: any.
        """
        keys, models = self.settings.virtual_keys, self.settings.models
        if "*" not in keys and not any(_matches((caller.name, caller.key_id), keys)):
            return False
        return names is None or "*" in models or any(_matches(names, models))

    async def check(self, payload: Mapping[str, Any], stage: Stage, size: int = 0) -> Verdict:
        """Ask it.

        Args:
            payload: What it is to read.
            stage: Of the call.
            size: About how many bytes that is; too many are not even written.

        Raises:
            httpx.HTTPError, OSError, TimeoutError: It does not answer.
            UnusableReply: What it was to read or its reply is too large, or its reply is not a verdict.
        """
        most = self.settings.max_kb * 1024
        body = b"" if size > most else orjson.dumps({"guardrail": self.name, "stage": stage, **payload})
        if size > most or len(body) > most:
            raise UnusableReply(f"the {stage} is larger than max_kb")
        async with asyncio.timeout(self.settings.timeout_s):
            response = await self._transport.send(
                self._origin, "POST", self._target, self._lines, body, timeouts=self._timeouts
            )
            try:
                status, reply = response.status, await response.read(most)
            except BodyTooLarge:
                raise UnusableReply("its reply is larger than max_kb") from None
            finally:
                await response.aclose()
        if status != 200:
            raise UnusableReply(f"it answers {status}", transient=status >= 500 or status == 429)
        return read_verdict(reply, stage)


def read_verdict(reply: bytes, stage: Stage) -> Verdict:
    """Read a guardrail's reply.

    Raises:
        UnusableReply: It is not a verdict.
    """
    try:
        fields = orjson.loads(reply)
    except orjson.JSONDecodeError:
        raise UnusableReply("its reply is not JSON") from None
    verdict = fields.get("verdict") if isinstance(fields, dict) else None
    if verdict == "allow":
        return Verdict("allow")
    if verdict == "deny":
        reason = fields.get("reason")
        return Verdict("deny", reason[:MAX_REASON].translate(_UNPRINTABLE).strip() if isinstance(reason, str) else "")
    if verdict != "replace":
        raise UnusableReply('its reply has no "verdict" of allow, deny or replace')
    body = fields.get(stage)
    if not isinstance(body, dict):
        raise UnusableReply(f'its reply has the verdict "replace" without an object "{stage}"')
    return Verdict("replace", body=body)


class Guardrails:
    """Asks the guardrails that cover a call, one after the other, in the order of the configuration.

    Args:
        settings: Of each, by name.
        transport: Carries their requests; closed with this.
        watch: Notified of every verdict.

    Raises:
        ValueError: A URL is invalid.
    """

    def __init__(
        self, settings: Mapping[str, GuardrailSettings], transport: UpstreamTransport, watch: UpstreamWatch
    ) -> None:
        self._transport = transport
        self._watch = watch
        self._all = [Guardrail(name, each, transport) for name, each in settings.items()]

    @staticmethod
    def limits() -> Limits:
        """Return the limits of connections to guardrails."""
        return Limits(max_connections=MAX_CONNECTIONS)

    def covering(self, stage: Stage, caller: Caller, targets: Sequence[Target] | None = None) -> list[Guardrail]:
        """Return those that check a caller's requests or answers.

        Args:
            stage: Which of them.
            caller: Who calls.
            targets: What may answer; None: anything.
        """
        names = None if targets is None else [target.name for target in targets]
        return [each for each in self._all if stage in each.settings.checks and each.covers(caller, names)]

    async def check_request(self, call: Call, guardrails: Sequence[Guardrail]) -> None:
        """Check a call, and change it to what the guardrails make of it: what was checked is what is sent.

        Raises:
            GuardrailDenied, GuardrailUnavailable: It is not to be made.
        """
        if not guardrails:
            return
        if not call.content_type.startswith("application/json"):
            problem = UnusableReply("it cannot read forms and files")
            for guardrail in guardrails:
                self._failed(guardrail, "request", call, problem, 0.0)
            return
        for guardrail in guardrails:
            verdict = await self._ask(guardrail, "request", call, {"request": call.fields}, len(call.body))
            if verdict.body is not None:
                await self._replace(guardrail, call, verdict.body)
        # Of a name that a body has twice, others may read the first; and of another format, what has no translation.
        call.body, call.native = await beside_loop(call.body, dump_object, call.fields, len(call.body)), None

    async def _replace(self, guardrail: Guardrail, call: Call, body: dict[str, Any]) -> None:
        """Give a call another body; its model, and whether it is a stream, stay."""
        fields = {name: value for name, value in body.items() if name not in {"model", "stream"}}
        fields |= {name: call.fields[name] for name in ("model", "stream") if name in call.fields}
        try:
            read_request(call.request_type, b"", "application/json", fields)
        except InvalidRequest as error:
            self._failed(guardrail, "request", call, UnusableReply(f"its request is not valid: {error.message}"), 0.0)
            return
        call.fields, call.prompt = fields, None

    async def check_answer(self, call: Call, answer: Answer, guardrails: Sequence[Guardrail]) -> None:
        """Check an answer, and change it to what the guardrails make of it.

        Raises:
            GuardrailDenied, GuardrailUnavailable: The caller is not to see it.
        """
        if not guardrails or call.request_type.name not in TEXT_TYPES:
            return
        body = _object(answer.body)
        for guardrail in guardrails:
            if body is None:
                problem = UnusableReply(f"the answer is not a JSON object of at most {MAX_PARSED} bytes")
                self._failed(guardrail, "answer", call, problem, 0.0)
                continue
            content = {"request": call.fields, "answer": body}
            verdict = await self._ask(guardrail, "answer", call, content, len(call.body) + len(answer.body))
            if verdict.body is not None:
                body = verdict.body
                answer.body = orjson.dumps(body)

    async def _ask(
        self, guardrail: Guardrail, stage: Stage, call: Call, content: Mapping[str, Any], size: int
    ) -> Verdict:
        began = time.perf_counter()
        try:
            verdict = await guardrail.check({**_about(call), **content}, stage, size)
        except (OSError, TimeoutError, ValueError, httpx.HTTPError) as error:
            self._failed(guardrail, stage, call, error, time.perf_counter() - began)
            return Verdict("allow")
        self._watch.guardrail(guardrail.name, stage, verdict.kind, time.perf_counter() - began)
        if verdict.kind == "deny":
            logger.info("a guardrail denied a call", extra=_log_fields(guardrail, stage, call))
            raise GuardrailDenied(guardrail.name, stage, verdict.reason)
        return verdict

    def _failed(self, guardrail: Guardrail, stage: Stage, call: Call, error: BaseException, seconds: float) -> None:
        """Note that a guardrail has not decided.

        Raises:
            GuardrailUnavailable: It is to deny then.
        """
        self._watch.guardrail(guardrail.name, stage, "error", seconds)
        problem = str(error) or type(error).__name__
        fields = {**_log_fields(guardrail, stage, call), "problem": problem, "on_error": guardrail.settings.on_error}
        logger.warning("a guardrail did not decide", extra=fields)
        if guardrail.settings.on_error == "deny":
            transient = stage == "request" and getattr(error, "transient", True)
            raise GuardrailUnavailable(guardrail.name, stage, transient=transient) from error

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.aclose()


def refused_stream(guardrail: Guardrail) -> GatewayError:
    """Return the refusal of a stream whose answer could not be checked as a whole."""
    return InvalidRequest(
        f"The guardrail {guardrail.name!r} checks whole answers, so that this model cannot be streamed here. "
        "Send the request without stream, or as a job with x-bf-async.",
        param="stream",
        code="guardrail_refuses_streams",
    )


def _about(call: Call) -> dict[str, Any]:
    """Return what a guardrail reads of a call besides its content."""
    caller = call.caller
    return {
        "request_id": call.request_id,
        "job_id": call.job_id,
        "request_type": call.request_type.name,
        "model": call.model,
        "virtual_key": {"id": caller.key_id, "name": caller.name, "team": caller.team, "customer": caller.customer},
    }


def _log_fields(guardrail: Guardrail, stage: Stage, call: Call) -> dict[str, str]:
    return {
        "guardrail": guardrail.name,
        "stage": stage,
        "request_id": call.request_id,
        "job_id": call.job_id,
        "key": call.caller.key_id,
    }


def _object(body: bytes) -> dict[str, Any] | None:
    """Parse a JSON object; None if it is none, or so large that parsing it would hold the event loop."""
    try:
        value = orjson.loads(body) if len(body) <= MAX_PARSED else None
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def _matches(names: Iterable[str], patterns: Sequence[str]) -> Iterator[bool]:
    return (fnmatchcase(name.lower(), pattern.lower()) for name in names if name for pattern in patterns)
