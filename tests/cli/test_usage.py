import io
import json
import socketserver
import threading
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from cli.views import usage as usage_views
from cli.views.output import out
from cli.views.savings import print_savings
from shared.governance.ledger.focus import NAMES
from tests.cli.conftest import Finops
from tests.served import Served
from tests.waiting import wait_until_sync

SUMS: dict[str, Any] = {
    "calls": 10, "errors": 1, "unpriced_calls": 0, "input_tokens": 1000, "output_tokens": 200, "cached_tokens": 50,
    "reasoning_tokens": 0, "cost_usd": 4.0, "list_cost_usd": 5.0, "average_latency_ms": 800, "upstream_attempts": 11,
    "cache_hits": 0, "saved_usd": 0.0, "saved_by_batch_usd": 0.75, "saved_by_tier_usd": -0.25,
    "saved_by_cache_usd": 0.5, "saved_by_discount_usd": 0.0,
}  # fmt: skip
FORECAST: dict[str, Any] = {
    "id": "team-a", "name": "Team A", "rate_usd_per_hour": 0.5, "today_usd": 30.0, "usual_day_usd": 3.0,
    "anomalous": True, "month_usd": 60.0, "projected_month_usd": 400.0, "budgets": [],
}  # fmt: skip


def budget(state: str, exhausted_at: str | None = None) -> dict[str, Any]:
    return {
        "window": "1M", "limit_usd": 100.0, "used_usd": 60.0, "reserved_usd": 0.5, "window_ends_at": None,
        "projected_usd": 400.0, "exhausted_at": exhausted_at, "state": state,
    }  # fmt: skip


def usage(*rows: dict[str, Any], per: str = "day", by: tuple[str, ...] = ("team",), **more: Any) -> dict[str, Any]:
    document = {
        "object": "usage",
        "from": "2026-11-01T00:00:00Z",
        "to": "2026-11-04T00:00:00Z",
        "per": per,
        "unpriced": [],
    }
    return {**document, "group_by": list(by), "data": [{**SUMS, **row} for row in rows], "total": SUMS, **more}


def test_a_chart_with_every_day_and_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    usage_views.print_usage(
        usage(
            {"period": "2026-11-01", "team": "search", "cost_usd": 3.0},
            {"period": "2026-11-01", "team": "", "cost_usd": 1.0},
            {"period": "2026-11-03", "team": "search", "cost_usd": 2.0},
        )
    )
    text = capsys.readouterr().out
    assert "saved against list prices: $1.00 (batch $0.7500, tier $-0.2500, cache $0.5000)" in text
    lines = {line[:10]: line for line in text.splitlines() if "$" in line}
    assert "█" * 36 + "▓" * 12 + "  $4.00" in text
    assert "2026-11-02" in text
    assert "█ search  ▓ (none)" in text
    assert "$5.00" in lines["total     "]


def test_bars_are_as_long_as_what_was_spent_however_many_groups(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"period": "2026-11-01", "team": f"t{at}", "cost_usd": 1.0} for at in range(9)]
    usage_views.print_usage(usage(*rows))
    text = capsys.readouterr().out
    (line,) = [line for line in text.splitlines() if "$9.00" in line]
    assert len(line.split("  ")[1]) == usage_views.BAR_WIDTH
    assert ". others" in text


@pytest.mark.parametrize(
    ("per", "periods", "expected"),
    [
        ("hour", ("2026-11-01T01:00:00Z", "2026-11-01T03:00:00Z"), "2026-11-01T02:00:00Z"),
        ("month", ("2026-09", "2026-11"), "2026-11"),
        ("day", ("2025-01-01", "2026-11-01"), "2025-01-01"),
        ("total", (None, None), "search"),
    ],
)
def test_other_periods(
    capsys: pytest.CaptureFixture[str], per: str, periods: tuple[str | None, str | None], expected: str
) -> None:
    rows = [{"team": "search", **({"period": period} if period else {})} for period in periods]
    usage_views.print_usage(usage(*rows, per=per))
    text = capsys.readouterr().out
    assert expected in text
    assert len(text.splitlines()) < 80


def test_keys_go_by_their_names_and_unpriced_models_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    row = {"key": "vk_1", "key_name": "Team A", "unpriced_calls": 3, "cost_usd": 0.0}
    unpriced = [{"provider": "sim", "model": f"m{at}\x1b[2J", "calls": 1} for at in range(12)]
    usage_views.print_usage(usage(row, per="total", by=("key",), unpriced=unpriced))
    text = capsys.readouterr().out
    assert "Team A" in text
    assert "sim/m0" in text
    assert "and 2 more" in text
    assert "\x1b" not in text


def test_savings_are_a_line_a_lane(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {"lane": "", "calls": 2, "list_cost_usd": 0.0, "cost_usd": 0.0},
        {"lane": "batch", "calls": 1000, "list_cost_usd": 4.0, "cost_usd": 2.0, "on_time_share": 0.9975},
    ]
    times = [
        {"lane": "flex", "model": "openai/gpt-5", "answers": 20, "late": 2, "p50_s": 3.0, "p95_s": 9.0, "p99_s": None}
    ]
    print_savings(rows, times)
    text = capsys.readouterr().out
    assert "(no patience)" in text
    assert all(
        part in text for part in ("1,000", "$4.000000", "$2.000000", "50%", "99.75%", "3.0 s", "9.0 s", "too late")
    )
    print_savings(rows, [])
    assert "too late" not in capsys.readouterr().out
    print_savings([], [])
    assert "no usage" in capsys.readouterr().out


def test_empty_pages_say_so(capsys: pytest.CaptureFixture[str]) -> None:
    usage_views.print_usage(usage())
    usage_views.print_usage(usage({}, per="total", by=()))
    usage_views.print_calls({"data": [], "next_cursor": None})
    usage_views.print_calls({"data": [], "next_cursor": "5-1"})
    usage_views.print_forecast({"by": "key", "data": []})
    text = capsys.readouterr().out
    assert text.count("no calls") == 2
    assert "no matching calls on this page" in text
    assert "--cursor 5-1" in text
    assert "nothing to forecast" in text


def test_a_terminal_has_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, color_system="standard", width=200)
    monkeypatch.setattr(usage_views, "out", lambda: console)
    usage_views.print_usage(usage({"period": "2026-11-01", "team": "a"}, {"period": "2026-11-01", "team": "b"}))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "\x1b[36m█" in text
    assert "▓" not in text
    assert out() is not console


def test_forecasts_are_a_line_a_budget(capsys: pytest.CaptureFixture[str]) -> None:
    several = {**FORECAST, "budgets": [budget("at_risk", "2026-11-20T00:00:00Z"), budget("ok")]}
    page = {
        "by": "key",
        "data": [several, {**FORECAST, "name": "", "anomalous": False}],
        "has_more": True,
        "last_id": "z",
    }
    usage_views.print_forecast({**page, "has_more": False})
    assert "more" not in capsys.readouterr().out
    usage_views.print_forecast(page)
    text = capsys.readouterr().out
    assert "$30.00 unusual" in text
    assert "2026-11-20T00:00:00Z  at risk" in text
    assert "team-a" in text
    assert "more with --after z" in text


@pytest.fixture
def spent(gateway: Served, finops: Finops, monkeypatch: pytest.MonkeyPatch) -> Finops:
    """Call `finops usage` on a gateway that has answered a call or two."""
    monkeypatch.setenv("FINOPS_URL", gateway.url)
    monkeypatch.setenv("FINOPS_DATA_DIR", str(gateway.data_dir))

    def calls() -> int:
        return int(json.loads(finops("usage", "--per", "total", "--json").stdout)["total"]["calls"])

    before = calls()  # of other tests, which use the same gateway
    asked = finops("jobs", "submit", "--model", "sim/gpt-4o", "--message", "Hello", "--wait")
    assert asked.exit_code == 0, asked.output
    missing = finops("jobs", "submit", "--model", "sim/x@status=400", "--message", "Hello", "--wait")
    assert missing.exit_code == 1

    def call(*words: str, stdin: Any = None) -> Any:
        return finops("usage", *words)

    wait_until_sync(lambda: calls() >= before + 2)
    return call


@pytest.mark.process
def test_usage_of_a_gateway(spent: Finops) -> None:
    expected = spent("--by", "provider,model", "--per", "day", "--only", "provider=sim")
    assert expected.exit_code == 0, expected.output
    assert "sim · gpt-4o" in expected.stdout
    calls = json.loads(spent("calls", "--json", "--limit", "5").stdout)
    assert {call["status"] for call in calls["data"]} >= {200}
    assert "gpt-4o" in spent("calls", "--limit", "2", "--from", "2026-01-01", "--to", "2200-01-01").stdout
    assert spent("calls", "--limit", "1", "--cursor", calls["data"][0]["id"], "--only", "status=4xx").exit_code == 0
    assert json.loads(spent("forecast", "--json").stdout)["by"] == "key"
    assert spent("forecast", "--by", "team", "--after", "a").exit_code == 0
    assert "(no patience)" in spent("savings").stdout
    assert json.loads(spent("savings", "--json").stdout)["times"] == []


@pytest.mark.process
def test_files_of_a_gateway(spent: Finops, tmp_path: Path) -> None:
    file = tmp_path / "november.csv"
    written = spent("export", "--format", "focus", "-o", str(file))
    assert written.exit_code == 0, written.output
    assert tuple(file.read_text().splitlines()[0].split(",")) == NAMES
    lines = spent("export", "--calls", "--format", "jsonl").stdout.splitlines()
    assert json.loads(lines[-1])["model"]
    assert "team" in spent("export", "--by", "team", "--per", "total").stdout.splitlines()[0]
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["november.csv"]


@pytest.mark.process
def test_failures_are_reported(spent: Finops, tmp_path: Path) -> None:
    assert spent("--only", "team").exit_code == 2
    wrong = spent("--by", "colour")
    assert (wrong.exit_code, "colour" in wrong.stderr) == (1, True)
    file = tmp_path / "x.csv"
    refused = spent("export", "-o", str(file), "--from", "never")
    assert (refused.exit_code, "never" in refused.stderr or "RFC 3339" in refused.stderr) == (1, True)
    assert not file.exists()
    nowhere = spent("export", "-o", str(tmp_path / "no" / "x.csv"))
    assert (nowhere.exit_code, "cannot write" in nowhere.stderr) == (1, True)
    own = spent("--key", "sk-bf-unknown")
    assert (own.exit_code, "401" in own.stderr) == (1, True)
    away = spent("export", "--url", "http://127.0.0.1:9")
    assert (away.exit_code, "cannot reach the gateway" in away.stderr) == (1, True)


def test_an_incomplete_download_leaves_no_file(finops: Finops, tmp_path: Path) -> None:
    class HalfAnAnswer(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(65_536)
            self.request.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")

    with socketserver.TCPServer(("127.0.0.1", 0), HalfAnAnswer) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        broken = finops("usage", "export", "-o", str(tmp_path / "x.csv"), "--url", url)
        thread.join()
    assert (broken.exit_code, "closed the connection" in broken.stderr) == (1, True)
    assert list(tmp_path.iterdir()) == []
