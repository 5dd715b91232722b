"""Answers single embedding jobs together: inputs of one model and key become one upstream call."""

import asyncio
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from shared.errors import UpstreamFailure, UpstreamRefused
from shared.inference.call import Answer, Call
from shared.inference.call_cost import CallCost
from shared.inference.inference import Inference
from shared.providers.resilience import Verdict, judge
from shared.surfaces.request_types import EMBEDDINGS

WINDOW_S = 0.02
"""How long the first input waits for others."""
MAX_INPUTS = 256
MAX_BYTES = 256 * 1024
_Key = tuple[str, str, bytes, str]


@dataclass(slots=True)
class _Part:
    """The inputs of one job, and where its answer goes."""

    call: Call
    inputs: list[Any]
    answer: "asyncio.Future[tuple[Answer, dict[str, Any]]]"

    @property
    def weight(self) -> int:
        """Its share of the tokens, in bytes of its inputs."""
        return sum(len(orjson.dumps(each)) for each in self.inputs)

    def succeed(self, result: tuple[Answer, dict[str, Any]]) -> None:
        """Pass the answer on, unless the job was cancelled."""
        if not self.answer.done():
            self.answer.set_result(result)

    def fail(self, error: BaseException) -> None:
        """Pass a failure on, unless the job was cancelled."""
        if not self.answer.done():
            self.answer.set_exception(error)


@dataclass(slots=True)
class _Group:
    parts: list[_Part] = field(default_factory=list)
    inputs: int = 0
    size: int = 0
    full: asyncio.Event = field(default_factory=asyncio.Event)


class EmbeddingCalls:
    """Gathers embedding jobs that run at the same time.

    Args:
        inference: Answers calls.
        window_s: How long the first input waits for others, in seconds.
        max_inputs: Most inputs of one call.
    """

    def __init__(self, inference: Inference, *, window_s: float = WINDOW_S, max_inputs: int = MAX_INPUTS) -> None:
        self._inference = inference
        self._window_s = window_s
        self._max_inputs = max_inputs
        self._groups: dict[_Key, _Group] = {}
        self._sending: set[asyncio.Task[None]] = set()

    async def answer(self, call: Call, call_cost: CallCost | None) -> Answer | None:
        """Answer a job's call together with others.

        Args:
            call: An embeddings call.
            call_cost: Its account, which is closed with its own tokens.

        Returns:
            Its own answer; None: it cannot be gathered, or the provider refused the gathered call as such, which says
            nothing about this one.

        Raises:
            GatewayError: The gathered call failed.
            RetryLater: It is to be repeated later.
        """
        inputs = _inputs_of(call)
        if inputs is None or len(inputs) > self._max_inputs:
            return None
        loop = asyncio.get_running_loop()
        part = _Part(call, inputs, loop.create_future())
        self._join(part)
        try:
            answer, usage = await part.answer
        except UpstreamRefused as error:
            if judge(error) is Verdict.GIVE_UP:
                return None
            raise
        if call_cost is not None:
            call_cost.sent(answer.provider, answer.model, "")
            answer.ledger = call_cost.answered(usage, answer.status, answer.body)
            answer.headers = {**answer.headers, **call_cost.headers()}
        return answer

    def _join(self, part: _Part) -> None:
        key = _key_of(part.call, part.inputs)
        group = self._groups.get(key)
        if group is not None and group.inputs + len(part.inputs) > self._max_inputs:
            group.full.set()
            group = None
        if group is None:
            group = self._groups[key] = _Group()
            task = asyncio.create_task(self._send(key, group))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)
        group.parts.append(part)
        group.inputs += len(part.inputs)
        group.size += part.weight
        if group.inputs >= self._max_inputs or group.size >= MAX_BYTES:
            group.full.set()

    async def _send(self, key: _Key, group: _Group) -> None:
        """Send a group when it is full or old enough; its parts get their answers, or the failure."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._window_s):
                await group.full.wait()
        if self._groups.get(key) is group:
            del self._groups[key]
        parts = [part for part in group.parts if not part.answer.done()]
        if not parts:
            return
        try:
            merged = _merged(parts)
            answer = await self._inference.answer(merged, self._inference.open_call_cost(merged))
            own = _split(answer, parts)
        except BaseException as error:  # noqa: BLE001 - whoever waits is to see it
            for part in parts:
                part.fail(error)
        else:
            for part, result in zip(parts, own, strict=True):
                part.succeed(result)


def _inputs_of(call: Call) -> list[Any] | None:
    """Return the inputs of a call, texts or lists of tokens; None: it has none that could be gathered."""
    value = call.fields.get("input")
    if call.request_type is not EMBEDDINGS or not value:
        return None
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list):
        return None
    if all(isinstance(each, int) for each in value):
        return [value]
    kinds = {type(each) for each in value}
    return value if kinds in ({str}, {list}) else None


def _key_of(call: Call, inputs: Sequence[Any]) -> _Key:
    """Return what calls have in common that are made together: the model, the key, every other field and header."""
    rest = {name: value for name, value in call.fields.items() if name != "input"}
    other = orjson.dumps([rest, dict(call.headers)], option=orjson.OPT_SORT_KEYS)
    return call.model, call.caller.key_id, other, type(inputs[0]).__name__


def _merged(parts: Sequence[_Part]) -> Call:
    """Return one call with the inputs of all parts; it is a run of a job of its own, so nothing is booked for it."""
    first = parts[0].call
    inputs = [each for part in parts for each in part.inputs]
    fields = {**first.fields, "input": inputs[0] if len(inputs) == 1 else inputs}
    now = asyncio.get_running_loop().time()
    dues = [part.call.due for part in parts if part.call.due is not None and part.call.due > now]
    deadlines = [part.call.deadline for part in parts if part.call.deadline is not None]
    call = first.with_fields(fields, stream=False)
    return replace(
        call,
        job_id=f"gathered-{uuid.uuid4().hex}",
        cache=None,
        attempt_log=None,
        prompt=None,
        due=min(dues, default=None),
        deadline=max(deadlines) if len(deadlines) == len(parts) else None,
    )


def _split(answer: Answer, parts: Sequence[_Part]) -> list[tuple[Answer, dict[str, Any]]]:
    """Return each part's own answer and usage.

    Raises:
        UpstreamFailure: The provider did not answer each input.
    """
    body = orjson.loads(answer.body)
    rows = body.get("data") if isinstance(body, dict) else None
    if not isinstance(rows, list) or len(rows) != sum(len(part.inputs) for part in parts):
        raise UpstreamFailure(f"Provider {answer.provider!r} did not answer each input.")
    rows = sorted(rows, key=lambda row: row.get("index", 0))
    tokens = shares_of(int((body.get("usage") or {}).get("prompt_tokens", 0)), [part.weight for part in parts])
    own: list[tuple[Answer, dict[str, Any]]] = []
    start = 0
    for part, count in zip(parts, tokens, strict=True):
        mine = [{**row, "index": at} for at, row in enumerate(rows[start : start + len(part.inputs)])]
        start += len(part.inputs)
        usage = {"prompt_tokens": count, "total_tokens": count}
        content = orjson.dumps({**body, "data": mine, "usage": usage})
        own.append((replace(answer, body=content, usage=usage, ledger=b""), usage))
    return own


def shares_of(total: int, weights: Sequence[int]) -> list[int]:
    """Divide tokens in proportion to weights; the parts are whole and add up to the total."""
    whole = sum(weights) or 1
    parts = [total * weight // whole for weight in weights]
    order = sorted(range(len(weights)), key=lambda at: (-(total * weights[at] % whole), at))
    for at in order[: total - sum(parts)]:
        parts[at] += 1
    return parts
