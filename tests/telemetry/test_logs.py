import asyncio
import io
import logging
import re
import sys
from collections.abc import Iterator

import orjson
import pytest

from shared.jobs.model import State
from shared.settings.model import LogSettings
from shared.telemetry.logs import Clock, RequestLines, configure, scrub
from tests.waiting import wait_until


@pytest.fixture
def restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    switches = {
        name: getattr(logging, name, None)
        for name in ("logThreads", "logProcesses", "logMultiprocessing", "logAsyncioTasks", "_srcfile")
    }
    levels = {name: logging.getLogger(name).level for name in ("httpx", "httpcore", "asyncio", "arq", "uvicorn.access")}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, value in switches.items():
        setattr(logging, name, value)
    for name, value in levels.items():
        logging.getLogger(name).setLevel(value)


@pytest.fixture
def output(restored_logging: None) -> io.StringIO:
    return io.StringIO()


def lines(output: io.StringIO) -> list[dict[str, object]]:
    return [orjson.loads(line) for line in output.getvalue().splitlines()]


def test_a_line_has_time_level_logger_message_and_every_field(output: io.StringIO) -> None:
    configure(LogSettings(), "api", output)
    logging.getLogger("finops.api").info("request", extra={"status": 200, "ms": 1.5, "request_id": "req_1"})
    [line] = lines(output)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", str(line.pop("ts")))
    assert line == {
        "level": "info",
        "logger": "finops.api",
        "tier": "api",
        "message": "request",
        "status": 200,
        "ms": 1.5,
        "request_id": "req_1",
    }


def test_the_level_applies_and_verbose_libraries_are_quiet(output: io.StringIO) -> None:
    configure(LogSettings(level="info"), "api", output)
    logging.getLogger("finops").debug("no")
    logging.getLogger("httpx").info("HTTP Request: GET https://host/?key=secret")
    logging.getLogger("finops").warning("yes")
    assert [line["message"] for line in lines(output)] == ["yes"]


def test_libraries_log_at_debug_level(output: io.StringIO) -> None:
    for name in ("httpx", "arq"):
        logging.getLogger(name).setLevel(logging.NOTSET)
    configure(LogSettings(level="debug"), "worker", output)
    logging.getLogger("arq").debug("poll")
    assert [(line["message"], line["level"]) for line in lines(output)] == [("poll", "debug")]


def test_one_fact_is_one_line_whatever_it_holds(output: io.StringIO) -> None:
    configure(LogSettings(), "api", output)
    logging.getLogger("finops").info("a\nb\r{%s}", "\x00", extra={"odd": "\ud800", "big": 2**70, "thing": object})
    logging.getLogger("finops").info("c", extra={"thing": {1: ValueError("x")}})
    first, second = lines(output)
    assert "a\\nb" in str(first["message"])
    assert first["big"] == str(2**70)
    assert second["thing"] == {"1": "x"}


def test_an_exception_is_a_field_and_shows_no_credentials(output: io.StringIO) -> None:
    configure(LogSettings(), "worker", output)
    try:
        raise ConnectionError("redis://user:hunter2@host:6379 refused Bearer abc.def.ghi")
    except ConnectionError:
        logging.getLogger("finops").exception("the store at %s is away", "redis://:hunter2@host")
    [line] = lines(output)
    assert "ConnectionError" in str(line["exception"])
    assert "hunter2" not in output.getvalue()
    assert "abc.def" not in output.getvalue()
    assert line["message"] == "the store at redis://:****@host is away"


def test_text_is_one_line_for_people_with_control_characters_taken_out(output: io.StringIO) -> None:
    configure(LogSettings(format="text"), "cli", output)
    logging.getLogger("finops").warning("look\x1b[31m", extra={"job": "a\nb"})
    [line] = output.getvalue().splitlines()
    assert re.fullmatch(r"\d\d:\d\d:\d\d WARNING finops look \[31m job=a b", line)


def test_a_traceback_follows_a_text_line(output: io.StringIO) -> None:
    configure(LogSettings(format="text"), "cli", output)
    try:
        raise ValueError("api_key=sk-verysecretverysecret")
    except ValueError:
        logging.getLogger("finops").exception("failed")
    first, second, *_, last = output.getvalue().splitlines()
    assert first.endswith("finops failed")
    assert second.startswith("Traceback")
    assert last == "ValueError: api_key=****"


def test_standard_error_is_the_default(restored_logging: None, capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogSettings(), "api")
    logging.getLogger("finops").info("here")
    assert orjson.loads(capsys.readouterr().err)["message"] == "here"
    assert sys.stderr is not None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sk-proj-0123456789abcdef", "****"),
        ("Authorization: Bearer eyJhbGciOi", "Authorization: Bearer ****"),
        ("GET /models?key=AIzaSyA-123&alt=sse", "GET /models?key=****&alt=sse"),
        ("redis://default:pw@h:6379/0", "redis://default:****@h:6379/0"),
        ('{"api_key": "abc"}', '{"api_key": "****"}'),
        ("the monkey = good and https://host:80/path stays", "the monkey = good and https://host:80/path stays"),
    ],
)
def test_what_looks_like_a_credential_is_masked(text: str, expected: str) -> None:
    assert scrub(text) == expected


def test_times_are_rfc_3339_in_utc_to_the_millisecond() -> None:
    clock = Clock()
    assert clock.write(0.0) == "1970-01-01T00:00:00.000Z"
    assert clock.write(1_795_360_000.9996) == "2026-11-22T15:06:40.999Z"
    assert clock.write(1_795_360_000.25) == "2026-11-22T15:06:40.250Z"


async def test_quiet_lines_leave_together_and_a_warning_takes_all_with_it(output: io.StringIO) -> None:
    configure(LogSettings(), "api", output)
    logger = logging.getLogger("finops")
    logger.info("first")
    RequestLines("finops.requests").write("request", {"status": 200})
    assert output.getvalue() == "", "kept for a moment"
    logger.warning("third")
    assert [line["message"] for line in lines(output)] == ["first", "request", "third"]


async def test_quiet_lines_leave_by_themselves(output: io.StringIO) -> None:
    configure(LogSettings(), "api", output)
    logging.getLogger("finops").info("alone")
    await wait_until(lambda: bool(output.getvalue()))
    assert [line["message"] for line in lines(output)] == ["alone"]


def test_lines_that_a_loop_left_behind_leave_with_the_next_ones(output: io.StringIO) -> None:
    configure(LogSettings(), "api", output)

    async def say(text: str) -> None:
        logging.getLogger("finops").info(text)

    asyncio.run(say("of a loop that is gone"))

    async def say_and_wait() -> None:
        await say("of the next")
        await wait_until(lambda: bool(output.getvalue()))

    asyncio.run(say_and_wait())
    assert [line["message"] for line in lines(output)] == ["of a loop that is gone", "of the next"]


def test_the_end_of_a_process_writes_what_is_kept(output: io.StringIO) -> None:
    configure(LogSettings(), "api", output)

    async def say() -> None:
        logging.getLogger("finops").info("last words")

    asyncio.run(say())
    for handler in logging.getLogger().handlers:
        handler.flush()  # as logging.shutdown does
    assert [line["message"] for line in lines(output)] == ["last words"]


def test_a_requests_line_is_the_same_by_the_short_way_and_by_the_long(output: io.StringIO) -> None:
    configure(LogSettings(), "api", output)
    fields: dict[str, object] = {"status": 200, "path": "/v1/chat/completions"}
    RequestLines("finops.requests").write("request", fields)
    logging.getLogger("finops.requests").info("request", extra=fields)
    short, long = lines(output)
    assert {**short, "ts": ""} == {**long, "ts": ""}
    logging.getLogger("finops.requests").setLevel(logging.WARNING)
    try:
        RequestLines("finops.requests").write("request", fields)
    finally:
        logging.getLogger("finops.requests").setLevel(logging.NOTSET)
    assert len(lines(output)) == 2


def test_text_lines_of_requests_are_text(output: io.StringIO) -> None:
    configure(LogSettings(format="text"), "api", output)
    RequestLines("finops.requests").write("request", {"status": 200})
    assert output.getvalue().endswith("finops.requests request status=200\n")


def test_a_record_that_cannot_be_formatted_and_a_closed_stream_end_nothing(
    output: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(LogSettings(), "api", output)
    logging.getLogger("finops").info("%d", "no number")
    assert "Logging error" in capsys.readouterr().err
    output.close()
    logging.getLogger("finops").warning("into the void")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_text_has_no_notation_of_pythons() -> None:
    output = io.StringIO()
    configure(LogSettings(format="text"), "cli", output)
    values = {"queues": [State.QUEUED, "b"], "detail": {"grace_s": 86400.0}, "nothing": None, "none": [], "no": {}}
    logging.getLogger("finops").info("worker", extra=values)
    assert output.getvalue().rstrip().endswith("worker queues=queued,b detail=grace_s:86400 nothing=- none=- no=-")


def test_a_terminal_has_warnings_and_errors_in_colour() -> None:
    output = Terminal()
    configure(LogSettings(format="text"), "cli", output)
    logging.getLogger("finops").info("plain")
    logging.getLogger("finops").warning("careful")
    logging.getLogger("finops").error("broken")
    plain, careful, broken = output.getvalue().splitlines()
    assert "\x1b" not in plain
    assert careful.startswith("\x1b[33m")
    assert careful.endswith("careful\x1b[0m")
    assert broken.startswith("\x1b[31m")
