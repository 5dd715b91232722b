"""`finops webhooks` on a whole gateway: a receiver, events, tests, rotation, and a worker that dies on the way."""

import json
import os
import signal
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from standardwebhooks.webhooks import Webhook

from cli.commands import webhooks
from cli.views.webhooks import print_deliveries, print_delivery
from tests.cli.conftest import Finops
from tests.served import Served, served
from tests.waiting import wait_until_sync

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
CHAT = {"model": "sim/gpt-4o", "messages": [{"role": "user", "content": "hello"}]}


class Receiver(ThreadingHTTPServer):
    """A user's server; while `held`, it takes events and does not answer."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status = 200
        self.events: list[tuple[dict[str, str], bytes]] = []
        self.released = threading.Event()
        self.released.set()

    def of(self, job_id: str) -> list[tuple[dict[str, str], bytes]]:
        return [(headers, body) for headers, body in self.events if job_id.encode() in body]


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.events.append(({name.lower(): value for name, value in self.headers.items()}, body))
        self.server.released.wait(30)
        try:
            self.send_response(self.server.status)
            self.send_header("content-length", "6")
            self.end_headers()
            self.wfile.write(b"thanks")
        except OSError:
            pass  # the worker is gone

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        thread = threading.Thread(target=receiver.serve_forever, daemon=True)
        thread.start()
        yield receiver
        receiver.released.set()
        receiver.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def hooked(receiver: Receiver, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("hooked")
    (folder / "finops.toml").write_text(
        "[webhooks_delivery]\ntimeout_s = 1\n"
        + "".join(
            f"""
            [webhooks.{name}]
            url = "http://127.0.0.1:{receiver.server_port}/hook"
            secret = "{SECRET}"
            allow_private_network = true
            """
            for name in ("orders", "rotated")
        )
    )
    with served(folder / "data", "--demo", "--config", str(folder / "finops.toml")) as running:
        yield running


@pytest.fixture
def hooks(hooked: Served, finops: Finops, monkeypatch: pytest.MonkeyPatch) -> Finops:
    """Call `finops webhooks` on that gateway, as its administrator."""
    monkeypatch.setenv("FINOPS_URL", hooked.url)
    monkeypatch.setenv("FINOPS_DATA_DIR", str(hooked.data_dir))
    return lambda *arguments, stdin=None: finops("webhooks", *arguments, stdin=stdin)


def submit(gateway: Served) -> str:
    answer = httpx.post(
        f"{gateway.url}/v1/async/chat/completions", json=CHAT, headers={"x-bf-async-webhook": "orders"}, trust_env=False
    )
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


@pytest.mark.process
@pytest.mark.timeout(120)
class TestCommands:
    def test_a_jobs_end_is_delivered_listed_and_sent_again(
        self, hooks: Finops, hooked: Served, receiver: Receiver
    ) -> None:
        receiver.status = 410
        job_id = submit(hooked)
        [failed] = wait_until_sync(
            lambda: json.loads(hooks("deliveries", "--job", job_id, "--status", "failed", "--json").stdout)["data"], 20
        )
        assert "async_job.completed" in hooks("deliveries", "--status", "failed", "--wide").stdout
        receiver.status = 200
        assert hooks("redeliver", failed["id"]).stdout.strip() == f"{failed['id']} pending"
        wait_until_sync(lambda: len(receiver.of(job_id)) == 2)
        for headers, body in receiver.of(job_id):
            Webhook(SECRET).verify(body, headers)
        shown = wait_until_sync(lambda: found if "delivered" in (found := hooks("show", failed["id"]).stdout) else "")
        assert "410" in shown
        assert "thanks" in shown
        document = json.loads(hooks("show", failed["id"], "--json").stdout)
        assert [attempt["status"] for attempt in document["attempts"]] == [410, 200]
        assert json.loads(hooks("redeliver", failed["id"], "--json").stdout)["id"] == failed["id"]
        assert len(json.loads(hooks("redeliver", failed["id"], failed["id"], "--json").stdout)) == 2

    def test_a_test_event_shows_what_the_receiver_answers(self, hooks: Finops, receiver: Receiver) -> None:
        receiver.status = 200
        accepted = hooks("test", "orders")
        assert accepted.exit_code == 0
        assert "webhook.test" in accepted.stdout
        receiver.status = 500
        refused = hooks("test", "orders", "--json")
        assert refused.exit_code == 1
        assert json.loads(refused.stdout)["attempts"][0]["status"] == 500
        receiver.status = 200
        unknown = hooks("test", "order")
        assert (unknown.exit_code, "Configured: orders, rotated" in unknown.output) == (1, True)

    def test_every_process_signs_with_both_secrets_after_a_rotation(self, hooks: Finops, receiver: Receiver) -> None:
        receiver.status = 200
        rotated = hooks("rotate-secret", "rotated")
        secret = rotated.stdout.strip()
        assert "the previous secret signs too until" in rotated.stderr
        assert hooks("test", "rotated").exit_code == 0
        headers, body = [event for event in receiver.events if b"webhook.test" in event[1]][-1]
        Webhook(secret).verify(body, headers)
        assert len(headers["webhook-signature"].split()) == 2
        assert set(json.loads(hooks("rotate-secret", "rotated", "--json").stdout)) == {"secret", "previous_expires_at"}

    def test_an_event_survives_the_death_of_its_worker(self, hooked: Served, receiver: Receiver) -> None:
        receiver.status = 200
        receiver.released.clear()
        job_id = submit(hooked)
        wait_until_sync(lambda: receiver.of(job_id), 20)
        for worker in hooked.processes("worker"):
            os.kill(worker, signal.SIGKILL)
        receiver.released.set()
        wait_until_sync(lambda: len(receiver.of(job_id)) >= 2, 30)
        assert len({headers["webhook-id"] for headers, _ in receiver.of(job_id)}) == 1


def test_lists_and_deliveries_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    delivery = {
        "id": "evt_1",
        "event": "async_job.failed",
        "job_id": None,
        "webhook": None,
        "url": "https://h.example/",
        "status": "pending",
        "created_at": "2026-01-01T00:00:00Z",
        "attempts": [
            {"at": "2026-01-01T00:00:00Z", "status": None, "duration_ms": 9, "answer": "", "error": "timeout"}
        ],
    }
    print_deliveries({"data": [delivery, {**delivery, "attempts": []}], "has_more": True, "last_id": "evt_1"})
    print_deliveries({"data": []})
    print_delivery(delivery)
    print_delivery({**delivery, "attempts": []})
    printed = capsys.readouterr().out
    assert "https://h.example/" in printed
    assert "more with --after evt_1" in printed
    assert "no deliveries" in printed
    assert "timeout" in printed


def test_a_command_without_a_gateway_fails_and_says_so(finops: Finops, tmp_path: Path) -> None:
    result = finops("webhooks", "deliveries", "--url", "http://127.0.0.1:9")
    assert result.exit_code == 1
    assert "cannot reach the gateway" in result.output
    assert webhooks.TEST_WAIT_S > webhooks.TEST_POLL_S
