"""The small parts of the supervisor: keys, sockets, configuration, output."""

import io
import socket
import stat
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest
from rich.console import Console

from cli.admin_key import ensure_admin_key, read_admin_key
from cli.client.options import credentials
from cli.supervisor.demo_config import simulated_providers, with_simulator
from cli.supervisor.foreground import describe_providers
from cli.supervisor.listening import free_port, open_listeners, url_of
from cli.text import plain
from cli.views.jobs import print_ended, print_envelope, result_text
from cli.views.output import age, between, duration, table
from shared.providers.registry import configured_providers
from shared.settings.load import load_settings


def test_the_admin_key_is_made_once_and_is_private(tmp_path: Path) -> None:
    key, made = ensure_admin_key(tmp_path)
    assert made
    assert len(key) > 40
    assert stat.S_IMODE((tmp_path / "admin.key").stat().st_mode) == 0o600
    assert ensure_admin_key(tmp_path) == (key, False)
    assert read_admin_key(tmp_path) == key


def test_an_empty_admin_key_is_refused_and_a_missing_one_is_none(tmp_path: Path) -> None:
    assert read_admin_key(tmp_path) is None
    (tmp_path / "admin.key").touch()
    with pytest.raises(click.ClickException, match="is empty or unreadable"):
        ensure_admin_key(tmp_path)
    with pytest.raises(click.ClickException, match="cannot store the admin key"):
        ensure_admin_key(tmp_path / "missing")


def test_the_admin_key_is_never_sent_to_another_machine(tmp_path: Path) -> None:
    key, _ = ensure_admin_key(tmp_path)
    assert credentials("http://127.0.0.1:8080", None, tmp_path) == key
    assert credentials("http://localhost:8080", "", tmp_path) == key
    assert credentials("https://gateway.example.com", None, tmp_path) == ""
    assert credentials("https://gateway.example.com", "mine", tmp_path) == "mine"
    assert credentials("http://127.0.0.1:8080", None, tmp_path / "missing") == ""


def test_one_socket_or_several_on_one_free_port() -> None:
    for count in (1, 3):
        listeners = open_listeners("127.0.0.1", 0, count)
        try:
            assert len({listener.getsockname() for listener in listeners}) == 1
            assert len(listeners) == count
            socket.create_connection(listeners[0].getsockname()).close()
        finally:
            for listener in listeners:
                listener.close()


@pytest.mark.parametrize("count", [1, 2])
def test_a_port_in_use_is_refused_even_where_it_could_be_shared(count: int) -> None:
    [taken] = open_listeners("127.0.0.1", 0, 1)
    with taken, pytest.raises(click.ClickException, match=r"port \d+ of 127.0.0.1 is in use"):
        open_listeners("127.0.0.1", taken.getsockname()[1], count)


@pytest.mark.parametrize(
    ("host", "message"), [("no.such.host.invalid", "unknown host"), ("192.0.2.1", "cannot listen on 192.0.2.1")]
)
def test_an_address_of_another_machine_is_refused(host: str, message: str) -> None:
    with pytest.raises(click.ClickException, match=message):
        open_listeners(host, 0, 1)


@pytest.mark.parametrize(
    ("host", "expected"), [("0.0.0.0", "http://127.0.0.1:"), ("::1", "http://[::1]:"), ("::", "http://[::1]:")]
)
def test_the_url_is_one_that_a_client_here_can_use(host: str, expected: str) -> None:
    try:
        [listener] = open_listeners(host, 0, 1)
    except click.ClickException:
        pytest.skip("no IPv6 here")
    with listener:
        assert url_of(listener).startswith(expected)


def test_a_start_names_its_providers_or_what_to_do_without_one() -> None:
    assert describe_providers(["openai", "groq"]) == "providers: openai, groq"
    assert "set its variable, such as OPENAI_API_KEY" in describe_providers(())


def test_a_free_port_can_be_listened_on() -> None:
    port = free_port()
    assert port < 32_768, "not one that the system gives to others by itself"
    with socket.create_server(("127.0.0.1", port)) as server:
        assert server.getsockname()[1] > 0


def test_the_simulator_joins_the_users_configuration(tmp_path: Path) -> None:
    config = tmp_path / "finops.toml"
    config.write_text('[jobs]\nlease_s = 2\n[providers.openai]\nbase_url = "http://x"')
    written = with_simulator(str(config), 9100, tmp_path, simulated_providers({"openai", "azure"}))
    assert stat.S_IMODE(written.stat().st_mode) == 0o600
    merged = tomllib.loads(written.read_text())
    assert merged["jobs"] == {"lease_s": 2}
    assert merged["providers"]["sim"] == {"wire": "openai", "base_url": "http://127.0.0.1:9100/v1"}
    assert set(merged["providers"]) == {"openai", "sim", "anthropic", "vertex", "ollama"}


def test_the_simulator_plays_every_provider_without_a_key(tmp_path: Path) -> None:
    settings = load_settings(with_simulator(None, 1, tmp_path, simulated_providers(())), {})
    assert settings.prices["sim/*"].output == 10
    assert set(configured_providers(settings, {})) == {"sim", "openai", "anthropic", "vertex", "azure", "ollama"}


def test_sample_data_come_with_what_pages_need_and_leave_the_users_tables(tmp_path: Path) -> None:
    settings = load_settings(with_simulator(None, 1, tmp_path, ("sim",), sample=True), {})
    assert (settings.cache.mode, settings.auth.require_virtual_key) == ("exact", False)
    assert set(settings.webhooks) == {"orders", "crm"}
    assert set(settings.alerts) == {"failures"}
    config = tmp_path / "finops.toml"
    config.write_text("[auth]\nrequire_virtual_key = true\n[cache]\nmax_mb = 3\n")
    settings = load_settings(with_simulator(str(config), 1, tmp_path, ("sim",), sample=True), {})
    assert (settings.cache.mode, settings.auth.require_virtual_key) == ("off", True)
    assert set(settings.webhooks) == {"orders", "crm"}


def test_a_file_to_which_no_table_can_be_added_is_refused(tmp_path: Path) -> None:
    config = tmp_path / "finops.toml"
    config.write_text('providers = { openai = { base_url = "http://x" } }')
    with pytest.raises(click.ClickException, match="as a table of its own"):
        with_simulator(str(config), 9100, tmp_path, ("sim",))


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (-1, "0 ms"),
        (0.0123, "12 ms"),
        (1.26, "1.3 s"),
        (119, "119.0 s"),
        (600, "10 min"),
        (7200, "2 h"),
        (200_000, "2 d"),
    ],
)
def test_durations_are_said_in_one_unit(seconds: float, expected: str) -> None:
    assert duration(seconds) == expected


def test_times_are_told_by_what_lies_between() -> None:
    assert between("2026-11-22T10:00:00.000Z", "2026-11-22T10:00:01.500Z") == "1.5 s"
    assert between(None, "2026-11-22T10:00:01.500Z") == ""
    assert age(None) == ""
    assert age("2020-01-01T00:00:00.000Z").endswith(" d")


def test_text_from_elsewhere_cannot_steer_the_terminal_nor_style_a_table() -> None:
    assert plain("a\x1b[31mb\x9b2J\tc\nd\r") == "a\ufffd[31mb\ufffd2J\tc\nd\ufffd"
    output = io.StringIO()
    Console(file=output, width=80).print(table(["x"], [["[red]\x1b]0;title\x07"]]))
    assert "[red]" in output.getvalue()
    assert "\x1b" not in output.getvalue()


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        ({"choices": [{"message": {"content": "hello"}}]}, "hello"),
        ({"choices": [{"text": "written"}]}, "written"),
        (
            {
                "object": "response",
                "output": [
                    {"type": "reasoning"},
                    {"content": [{"type": "output_text", "text": "a"}, {"type": "output_text", "text": "b"}]},
                ],
            },
            "ab",
        ),
        ({"text": "heard"}, "heard"),
        ("plain text", "plain text"),
    ],
)
def test_the_answers_text_is_what_is_shown_of_a_result(result: Any, expected: str) -> None:
    assert result_text({"result": result}) == expected


@pytest.mark.parametrize(
    "result",
    [
        {"choices": []},
        {"choices": [{"message": {"content": None}}]},
        {"data": [1]},
        {"object": "response", "output": []},
        {"text": 1},
        [1],
    ],
)
def test_a_result_without_text_is_shown_whole(result: Any) -> None:
    assert result_text({"result": result}).startswith(("{", "["))


def test_an_ended_job_without_result_shows_its_error(capsys: pytest.CaptureFixture[str]) -> None:
    failed = {
        "id": "1",
        "status": "failed",
        "status_code": 429,
        "error": {"type": "rate_limit_error", "message": "slow\x1b"},
    }
    print_ended([failed])
    print_envelope(failed)
    print_ended([{"id": "2", "status": "cancelled"}])
    expected = capsys.readouterr().out
    assert "failed 429 rate_limit_error slow\ufffd" in expected
    assert "cancelled" in expected
    assert "\x1b" not in expected


def test_where_every_port_is_taken_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr("cli.supervisor.listening._QUIET_PORTS", [port] * 50)
        with pytest.raises(click.ClickException, match="no free port"):
            free_port()
