"""The steps of `finops demo`, seen through the official OpenAI SDK."""

import asyncio
import signal
import time
from collections.abc import Sequence
from typing import Any

import click
import httpx
import openai
from openai.types.chat import ChatCompletion
from rich.console import Console
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from cli.supervisor.trial import Trial, trial
from cli.text import plain
from cli.views.output import out, table

LONG_MODEL = "sim/gpt-4o@latency=6,tokens=60"
SHORT_MODEL = "sim/gpt-4o-mini@latency=1"
QUESTION: Any = [{"role": "user", "content": "Write a long report on the costs of our models."}]
CLOSING = "Look around: run `finops serve --demo`, then `finops ui` opens its console at http://127.0.0.1:8080/ui."
BATCH = 200
CONCURRENCY = 25
GIVE_UP_S = 120.0


async def show() -> None:
    """Start a trial system and show both parts of the demo; SIGTERM cancels it.

    Raises:
        click.ClickException: The system does not start, or jobs were lost or run twice.
        TimeoutError: It did not end in time.
    """
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    console = out()
    console.print("Starting store, API, worker and simulator ...")
    async with asyncio.timeout(GIVE_UP_S), trial(concurrency=CONCURRENCY) as running:
        console.print(f"The gateway serves on {running.system.url}\n", markup=False)
        # Proxies of the environment do not lead to this machine.
        http = openai.DefaultAsyncHttpxClient(trust_env=False)
        # 200 connections at once can take a slow machine longer than the SDK's 5 s.
        async with openai.AsyncOpenAI(
            base_url=f"{running.system.url}/openai", api_key="none-is-needed", http_client=http, timeout=60.0
        ) as client:
            await _show_long_completion(client, console)
            await _show_batch(client, running, console)
    console.print(f"\n{CLOSING}", markup=False, soft_wrap=True)


async def _show_long_completion(client: openai.AsyncOpenAI, console: Console) -> None:
    """Submit, poll and read one job: three calls of the same SDK method."""
    console.print("1. A completion that takes 6 seconds, as a job", style="bold")
    console.print('   client.chat.completions.create(..., extra_headers={"x-bf-async": "true"})', markup=False)
    began = time.monotonic()
    initial = await client.chat.completions.create(
        model=LONG_MODEL, messages=QUESTION, extra_headers={"x-bf-async": "true"}
    )
    job_id = initial.id
    console.print(
        f"   answered in {(time.monotonic() - began) * 1000:.0f} ms: job {job_id}, no choices yet", markup=False
    )
    progress = Progress(
        TextColumn("  "),
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    status = ""
    poll = initial
    with progress:
        line = progress.add_task(f"{_status(poll):<12}", total=None)
        while not poll.choices:
            if _status(poll) != status:
                status = _status(poll)
                progress.update(line, description=f"{status:<12}")
                console.print(f"   {time.monotonic() - began:4.1f} s  {status}", markup=False)
            await asyncio.sleep(0.25)
            poll = await client.chat.completions.create(
                model=LONG_MODEL, messages=[], extra_headers={"x-bf-async-id": job_id}
            )
    console.print(f"   {time.monotonic() - began:4.1f} s  completed", markup=False)
    text = plain(poll.choices[0].message.content)
    tokens = poll.usage.total_tokens if poll.usage else 0
    console.print(Panel(text[:400], title=f"choices[0].message.content ({tokens} tokens)", width=100))


def _status(completion: Any) -> str:  # noqa: ANN401 - an SDK model with a field more than its type has
    return str(getattr(completion, "status", "") or "").replace("_", " ")


async def _show_batch(client: openai.AsyncOpenAI, running: Trial, console: Console) -> None:
    """Run many jobs on two workers, and count them afterwards."""
    console.print(f"\n2. {BATCH} jobs of 1 second each over 2 workers, {CONCURRENCY} at once on each", style="bold")
    await running.add_worker(CONCURRENCY)
    async with httpx.AsyncClient(trust_env=False, timeout=10) as plain_client:
        before = await running.jobs_finished(plain_client)
        received = await _upstream_calls(plain_client, running)
        began = time.monotonic()
        jobs = await asyncio.gather(*(_submit(client, number) for number in range(BATCH)))
        console.print(f"   {BATCH} submitted in {time.monotonic() - began:.1f} s", markup=False)
        answered = await _collect(client, jobs, console)
        took_s = time.monotonic() - began
        finished = [
            after - earlier for after, earlier in zip(await running.jobs_finished(plain_client), before, strict=True)
        ]
        calls = await _upstream_calls(plain_client, running) - received
    console.print()
    rows = [
        ("jobs", BATCH),
        ("seconds", f"{took_s:.1f}"),
        ("jobs per second", f"{BATCH / took_s:.0f}"),
        *((f"by worker {number}", count) for number, count in enumerate(finished, start=1)),
        ("lost", BATCH - answered),
        ("doubled", calls - BATCH),
    ]
    console.print(table(("", "batch"), rows))
    if answered != BATCH or calls != BATCH:
        raise click.ClickException("jobs were lost or run twice")


async def _submit(client: openai.AsyncOpenAI, number: int) -> ChatCompletion:
    """Submit one of many equal requests: its key tells it from the others if the SDK has to repeat it."""
    headers = {"x-bf-async": "true", "idempotency-key": f"demo-{number}"}
    return await client.chat.completions.create(model=SHORT_MODEL, messages=QUESTION, extra_headers=headers)


async def _collect(client: openai.AsyncOpenAI, jobs: Sequence[ChatCompletion], console: Console) -> int:
    """Poll until every job has ended; return how many have a result."""
    progress = Progress(
        TextColumn("  "),
        BarColumn(40),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    answered = 0
    with progress:
        line = progress.add_task("", total=len(jobs))
        for next_done in asyncio.as_completed([_result(client, job) for job in jobs]):
            answered += bool(await next_done)
            progress.update(line, completed=answered)
            if answered % 50 == 0:
                console.print(f"   {answered} of {len(jobs)} done", markup=False)
    return answered


async def _result(client: openai.AsyncOpenAI, job: ChatCompletion) -> str | None:
    """Return a job's answer, by long polls. A submit that the SDK had to repeat may be answered by it at once."""
    job_id = job.id
    while not job.choices:
        job = await client.chat.completions.create(
            model=SHORT_MODEL, messages=[], extra_headers={"x-bf-async-id": job_id, "x-bf-async-wait": "20"}
        )
    return job.choices[0].message.content


async def _upstream_calls(client: httpx.AsyncClient, running: Trial) -> int:
    """Return how many calls the simulator received, by its own count."""
    return int((await client.get(f"{running.system.simulator_url}/sim/health")).json()["total"])
