"""The simulator as an ASGI application: routing, keys, the log, and faults before anything is answered."""

import os
import time
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qsl

import orjson

from simulator import clouds, control, ollama
from simulator.anthropic import messages as anthropic
from simulator.aws import bedrock
from simulator.calls import Answer, Call, Refusal, Reply, Route, Router
from simulator.delivery import FAULTED, Head, deliver
from simulator.exchange import BodyTooLarge, ClientGone, Exchange, Receive, Scope, Send
from simulator.faults import Behaviour, Script, in_flex
from simulator.form import parse_form
from simulator.google import gemini, tokens
from simulator.log import Entry, Log
from simulator.openai import routes as openai_routes
from simulator.openai.errors import OPENAI
from simulator.store import Store

_KIND_BY_STATUS = {
    401: ("invalid_request_error", "invalid_api_key"),
    403: ("invalid_request_error", "permission_denied"),
    404: ("invalid_request_error", "model_not_found"),
    429: ("rate_limit_error", "rate_limit_exceeded"),
}


class Simulator:
    """One simulated provider; an ASGI 3 application.

    Attributes:
        script: how requests are answered.
        log: what was received.
        store: responses, files and batches.
    """

    def __init__(self, routes: Iterable[Route], api_keys: frozenset[str]) -> None:
        self.script = Script()
        self.log = Log()
        self.store = Store()
        self._router = Router(routes)
        self._api_keys = api_keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one ASGI connection: a request, or the lifespan of the server."""
        if scope["type"] == "lifespan":
            await _answer_lifespan(receive, send)
            return
        if scope["type"] != "http":
            raise RuntimeError(f"the simulator speaks HTTP, not {scope['type']}")
        control_path = scope["path"].startswith("/sim/")
        entry = _entry_of(scope) if control_path else self.log.open(_entry_of(scope))
        exchange = Exchange(scope, receive, send, entry)
        try:
            await (self._answer_control(exchange) if control_path else self._answer_logged(exchange))
        finally:
            await exchange.close()

    async def _answer_control(self, exchange: Exchange) -> None:
        try:
            body = await exchange.read_body()
            reply = control.answer(self.script, self.log, exchange.scope, body)
        except ClientGone:
            return
        except BodyTooLarge:
            reply = OPENAI.refuse(_too_large())
        await deliver(exchange, reply, Behaviour(), [])

    async def _answer_logged(self, exchange: Exchange) -> None:
        outcome = FAULTED
        try:
            outcome = await self._answer_call(exchange)
        except ClientGone:
            outcome = "client_disconnected"
        finally:
            self.log.close(exchange.entry, outcome)

    async def _answer_call(self, exchange: Exchange) -> str:
        started_s = time.perf_counter()
        route: Route | None = None
        call = self._call_of(exchange.scope)
        try:
            raw = await exchange.read_body()
            try:
                _read_body(call, raw)
            finally:
                exchange.entry.keep_body(raw, call.form)
            route, call.params = self._route_of(call)
            self._check_key(call)
            call.behaviour = self._behaviour_of(call, route)
            if call.behaviour.latency_s:
                await exchange.pause(call.behaviour.latency_s)
            if call.behaviour.reset:
                await exchange.abort(reset=True)
                return FAULTED
            if call.behaviour.hang:
                await exchange.pause(None)
            answer = _answer(route, call)
        except BodyTooLarge:
            answer = OPENAI.refuse(_too_large())
        except Refusal as refusal:
            answer = (route.family if route else OPENAI).refuse(refusal)
        outcome = await deliver(exchange, answer, call.behaviour, _head(started_s))
        return FAULTED if _scripted_refusal(call.behaviour) else outcome

    def _call_of(self, scope: Scope) -> Call:
        return Call(
            method=scope["method"],
            path=scope["path"],
            query_string=scope["query_string"],
            raw_headers=scope["headers"],
            store=self.store,
            dispatch=self._dispatch,
        )

    def _dispatch(self, path: str, body: dict[str, Any]) -> Reply:
        """Answer one line of a batch, faults that are an HTTP status included, at once."""
        call = self._call_of({"method": "POST", "path": path, "query_string": b"", "headers": []})
        call.body = body
        route: Route | None = None
        try:
            route, call.params = self._route_of(call)
            call.behaviour = self._behaviour_of(call, route)
            answer = _answer(route, call)
        except Refusal as refusal:
            return (route.family if route else OPENAI).refuse(refusal)
        if isinstance(answer, Reply):
            return answer
        return route.family.refuse(Refusal(400, "Streaming is not supported in a batch.", param="stream"))

    def _route_of(self, call: Call) -> tuple[Route, dict[str, str]]:
        found = self._router.find(call.method, call.path)
        if found is not None:
            return found
        if self._router.knows(call.path):
            raise Refusal(405, f"Not allowed to {call.method} on {call.path}.", code="method_not_supported")
        raise Refusal(404, f"Invalid URL ({call.method} {call.path})", code="unknown_url")

    def _check_key(self, call: Call) -> None:
        key = _key_of(call)
        if not key and self._api_keys:
            raise Refusal(401, "You didn't provide an API key.", code="missing_api_key")
        if key and ("invalid" in key or (self._api_keys and key not in self._api_keys)):
            masked = f"****{key[-4:]}" if len(key) > 8 else "****"
            raise Refusal(401, f"Incorrect API key provided: {masked}.", code="invalid_api_key")

    def _behaviour_of(self, call: Call, route: Route) -> Behaviour:
        try:
            behaviour = self.script.decide(call.path, route.model_of(call) or "")
        except ValueError as error:
            raise Refusal(400, f"Model name: {error}", param="model", code="invalid_modifier") from error
        return in_flex(behaviour) if call.body.get("service_tier") == "flex" else behaviour


def create_app(*, api_keys: Iterable[str] = ()) -> Simulator:
    """A fresh simulator of every wire it knows.

    Args:
        api_keys: if any are given, requests need one of them; a key containing `invalid` never works.
    """
    others = (clouds.routes(), anthropic.ROUTES, gemini.routes(), bedrock.ROUTES, ollama.ROUTES, tokens.ROUTES)
    routes = [*openai_routes.routes(), *(route for family in others for route in family)]
    return Simulator(routes, frozenset(api_keys))


def _entry_of(scope: Scope) -> Entry:
    return Entry(scope["method"], scope["path"], scope["query_string"], list(scope["headers"]))


def _answer(route: Route, call: Call) -> Answer:
    if refusal := _scripted_refusal(call.behaviour):
        raise refusal
    try:
        answer = route.answer(call)
    except orjson.JSONEncodeError as error:  # what a request nests too deeply cannot be echoed
        raise Refusal(400, f"The request cannot be echoed: {error}", code="invalid_value") from error
    if call.behaviour.error_event is not None and isinstance(answer, Reply):
        raise Refusal(500, "The simulated model failed.", kind="server_error", code="server_error")
    return answer


def _scripted_refusal(behaviour: Behaviour) -> Refusal | None:
    if behaviour.status is not None:
        kind, code = _KIND_BY_STATUS.get(behaviour.status, ("invalid_request_error", None))
        if behaviour.status >= 500:
            kind, code = "server_error", None
        message = f"Simulated failure with status {behaviour.status}."
        return Refusal(behaviour.status, message, kind=kind, code=code, headers=_retry_headers(behaviour))
    if behaviour.context_length:
        message = "This model's maximum context length is 8192 tokens. Please reduce the length of the messages."
        return Refusal(400, message, param="messages", code="context_length_exceeded")
    if behaviour.policy:
        message = "Your request was rejected by the simulated safety system."
        return Refusal(400, message, code="content_policy_violation")
    return None


def _retry_headers(behaviour: Behaviour) -> tuple[tuple[bytes, bytes], ...]:
    headers: list[tuple[bytes, bytes]] = []
    if behaviour.retry_after_s is not None:
        headers.append((b"retry-after", b"%g" % behaviour.retry_after_s))
    if behaviour.retry_after_ms is not None:
        headers.append((b"retry-after-ms", b"%d" % behaviour.retry_after_ms))
    return tuple(headers)


def _read_body(call: Call, raw: bytes) -> None:
    """Parse a multipart, URL-encoded or JSON body into the call.

    Raises:
        Refusal: it is broken, or JSON but no object.
    """
    kind = call.header(b"content-type") or ""
    try:
        if kind.startswith("multipart/form-data"):
            call.form = parse_form(kind, raw)
            return
        if kind.startswith("application/x-www-form-urlencoded"):
            call.body = dict(parse_qsl(raw.decode("latin-1"), keep_blank_values=True))
            return
        body = orjson.loads(raw) if raw else {}
    except orjson.JSONDecodeError as error:
        message = "We could not parse the JSON body of your request."
        raise Refusal(400, message, code="invalid_json") from error
    except ValueError as error:
        raise Refusal(400, f"Could not parse multipart form: {error}", code="invalid_multipart") from error
    if not isinstance(body, dict):
        raise Refusal(400, "The JSON body of a request must be an object.", code="invalid_type")
    call.body = body


def _key_of(call: Call) -> str:
    authorization = call.header(b"authorization") or ""
    if authorization[:7].lower() == "bearer ":
        return authorization[7:].strip()
    return call.header(b"api-key") or call.header(b"x-api-key") or call.header(b"x-goog-api-key") or ""


def _head(started_s: float) -> Head:
    elapsed_ms = int((time.perf_counter() - started_s) * 1000)
    return [
        (b"x-request-id", b"req_" + os.urandom(16).hex().encode()),
        (b"openai-processing-ms", b"%d" % elapsed_ms),
        (b"openai-version", b"2020-10-01"),
    ]


def _too_large() -> Refusal:
    return Refusal(413, "The request body is too large.", code="request_too_large")


async def _answer_lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
