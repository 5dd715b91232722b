"""Watching jobs while the gateway misbehaves."""

import io
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import orjson
import pytest
from rich.console import Console

from cli.client.gateway import Gateway, GatewayRequestError
from cli.views import job_progress
from cli.views.job_progress import wait_for
from tests.serving import serving

Answer = tuple[int, Any]


class Scripted:
    """A gateway that gives the next of its answers; the last one for ever."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = list(answers)
        self.waits: list[str] = []

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        headers = dict(scope["headers"])
        self.waits.append(headers.get(b"x-bf-async-wait", b"").decode())
        status, document = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        body = document if isinstance(document, bytes) else orjson.dumps(document)
        await send(
            {"type": "http.response.start", "status": status, "headers": [(b"content-length", b"%d" % len(body))]}
        )
        await send({"type": "http.response.body", "body": body})


Serve = Callable[..., AbstractAsyncContextManager[tuple[Gateway, Scripted]]]


@asynccontextmanager
async def scripted(*answers: Answer) -> AsyncIterator[tuple[Gateway, Scripted]]:
    app = Scripted(*answers)
    async with serving(app) as origin, Gateway(origin, "a-key") as gateway:
        yield gateway, app


def job(status: str, **more: Any) -> Answer:
    return 200, {"id": "1", "status": status, **more}


def quiet() -> Console:
    return Console(file=io.StringIO(), width=200)


async def test_the_first_look_is_at_once_and_the_next_ones_are_long_polls() -> None:
    async with scripted(job("pending", queue_position=2), job("processing", attempts=2), job("completed")) as (
        gateway,
        app,
    ):
        console = quiet()
        [found] = await wait_for(gateway, ["1"], console)
        assert found["status"] == "completed"
        assert app.waits == ["", "1", "1"]
        assert console.file.getvalue().splitlines() == [  # type: ignore[attr-defined]
            "1 pending (position 2)",
            "1 processing (attempt 2)",
            "1 completed",
        ]


async def test_a_gateway_that_restarts_is_waited_for() -> None:
    busy = (503, {"error": {"message": "The job store cannot be reached.", "code": "store_unavailable"}})
    async with scripted(job("processing"), busy, job("completed")) as (gateway, _):
        [found] = await wait_for(gateway, ["1"], quiet())
        assert found["status"] == "completed"


async def test_a_gateway_that_stays_unavailable_ends_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_progress, "OUTAGE_PATIENCE_S", 0.0)
    busy = (503, {"error": {"message": "away", "code": "store_unavailable"}})
    async with scripted(job("processing"), busy) as (gateway, _):
        with pytest.raises(GatewayRequestError, match="away"):
            await wait_for(gateway, ["1"], quiet())


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((404, {"error": {"message": "No job", "code": "job_not_found"}}), r"No job \(404 job_not_found\)"),
        ((500, {"error": {"message": "odd\x1b[2J"}}), "odd\ufffd"),
        ((502, b"<html>"), "is it a FinOps gateway"),
        ((404, {"detail": "Not Found"}), "is it a FinOps gateway"),
        ((200, b"not json"), "did not answer with a JSON object"),
        ((200, [1]), "did not answer with a JSON object"),
    ],
)
async def test_an_answer_without_a_job_fails_at_once(answer: Answer, message: str) -> None:
    async with scripted(answer) as (gateway, _):
        with pytest.raises(GatewayRequestError, match=message):
            await wait_for(gateway, ["1"], quiet())


async def test_on_a_terminal_the_lines_move_and_leave_no_trace() -> None:
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=100)
    async with scripted(job("pending", queue_position=4), job("completed")) as (gateway, _):
        await wait_for(gateway, ["1", "2"], console)
    assert "of 2 ended" in output.getvalue()
    assert output.getvalue().endswith("\x1b[?25h") or "\x1b[2K" in output.getvalue()


async def test_many_jobs_are_asked_for_less_often() -> None:
    async with scripted(job("pending"), job("completed")) as (gateway, app):
        await wait_for(gateway, [str(number) for number in range(41)], quiet())
        assert set(app.waits) <= {"", "2.05"}
