"""Who gets in: the admin key administers and does not call models, guesses are counted, addresses are the callers'."""

import httpx
import pytest

from api.http.call_slots import CallSlots
from api.http.client_address import ClientAddresses
from api.http.login_throttle import BURST, KEY_BURST
from api.server import Exposed, check_exposure
from shared.errors import ConcurrencyLimited
from shared.governance.keys.caller import ANONYMOUS, Caller
from shared.settings.model import Settings
from tests.api.conftest import ADMIN_KEY, CHAT, KEY_A, KEY_B, Gateway, Start
from tests.api.files.test_files import create, line, upload

ADMIN = {"authorization": f"Bearer {ADMIN_KEY}"}
KEYS = {"team-a": {"value": KEY_A, "max_concurrent_calls": 1}, "team-b": {"value": KEY_B}}


@pytest.fixture
async def closed(start: Start) -> Gateway:
    """A gateway whose callers need a key."""
    return await start(auth={"admin_key": ADMIN_KEY}, virtual_keys=KEYS)


def stop_the_clock(gateway: Gateway) -> None:
    """Keep tokens from returning while a slow machine makes its guesses."""
    for throttle in (gateway.services.attempts, gateway.services.key_attempts):
        throttle._clock = lambda: 0.0


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


@pytest.mark.parametrize("header", ["authorization", "x-api-key", "x-goog-api-key", "api-key"])
async def test_the_admin_key_calls_no_model(closed: Gateway, header: str) -> None:
    headers = {header: f"Bearer {ADMIN_KEY}"}
    paths = ("/v1/chat/completions", "/v1/async/chat/completions", "/v1/threads", "/v1/batches")
    for path in paths:
        assert code(await closed.post(path, CHAT, headers=headers)) == (401, "virtual_key_required")
    assert (await closed.http.get("/v1/assistants", headers=headers)).status_code == 401
    message = {"model": "sim/gpt-4o", "max_tokens": 5, "messages": CHAT["messages"]}
    assert (await closed.post("/anthropic/v1/messages", message, headers=headers)).status_code == 401


async def test_the_admin_key_in_x_bf_vk_is_an_unknown_virtual_key(closed: Gateway) -> None:
    answer = await closed.post("/v1/chat/completions", CHAT, headers={"x-bf-vk": ADMIN_KEY})
    assert code(answer) == (401, "virtual_key_not_found")


async def test_the_admin_key_reads_and_ends_what_any_key_made(closed: Gateway) -> None:
    job_id = await closed.submit(x_bf_vk=KEY_A)
    assert (await closed.poll(job_id, **ADMIN)).status_code == 200
    assert (await closed.http.get(f"/v1/async/chat/completions/{job_id}", headers=ADMIN)).status_code == 202
    assert (await closed.http.get(f"/v1/async/jobs/{job_id}", headers=ADMIN)).status_code == 202
    assert (await closed.post(f"/v1/async/jobs/{job_id}/cancel", headers=ADMIN)).json()["status"] == "cancelled"
    file = await upload(closed, line(model="sim/x"), KEY_A)
    batch = await create(closed, line(model="sim/x"), KEY_A)
    for path in (f"files/{file['id']}", f"batches/{batch['id']}", "files", "batches"):
        assert (await closed.http.get(f"/v1/{path}", headers=ADMIN)).status_code == 200
        assert (await closed.http.get(f"/v1/{path}")).status_code == 401


async def test_guesses_of_keys_are_counted_on_every_path_and_right_keys_go_on(closed: Gateway) -> None:
    stop_the_clock(closed)
    for at in range(KEY_BURST):
        headers = {("authorization", "x-bf-vk")[at % 2]: f"sk-bf-guess-{at}"}
        path = ("/v1/chat/completions", "/v1/async/jobs", "/v1/files")[at % 3]
        assert (await closed.http.request("GET" if at % 3 else "POST", path, headers=headers)).status_code == 401
    limited = await closed.post("/v1/chat/completions", CHAT, headers={"x-bf-vk": "sk-bf-one-more"})
    assert code(limited) == (429, "too_many_attempts")
    assert int(limited.headers["retry-after"]) >= 1
    assert (await closed.post("/v1/chat/completions", CHAT)).status_code == 401  # no key is no guess
    assert (await closed.post("/v1/chat/completions", CHAT, headers={"x-bf-vk": KEY_B})).status_code == 200
    assert (await closed.http.get("/v1/async/jobs", headers=ADMIN)).status_code == 200


async def test_where_no_key_is_required_guesses_of_the_admin_key_lead_nowhere(tenants: Gateway) -> None:
    job_id = await tenants.submit(x_bf_vk=KEY_A)
    stop_the_clock(tenants)
    assert (await tenants.poll(job_id, **ADMIN)).status_code == 200
    assert (await tenants.poll(job_id)).status_code == 404
    for at in range(BURST + 2):
        assert (await tenants.poll(job_id, authorization=f"Bearer guess-{at}")).status_code == 404
    assert (await tenants.poll(job_id, **ADMIN)).status_code == 404  # no longer compared, and no longer an oracle
    assert (await tenants.http.get(f"/api/jobs/{job_id}", headers=ADMIN)).status_code in {200, 202}
    assert (
        await tenants.post("/v1/chat/completions", CHAT, headers={"authorization": "Bearer any"})
    ).status_code == 200


async def test_an_address_behind_a_trusted_proxy_is_the_callers(start: Start) -> None:
    gateway = await start(server={"trusted_proxies": ["127.0.0.1"]})
    stop_the_clock(gateway)

    async def guess(at: int, address: str) -> int:
        headers = {"authorization": f"Bearer guess-{at}", "x-forwarded-for": f"203.0.113.9, {address}"}
        return (await gateway.http.get("/api/keys", headers=headers)).status_code

    assert {await guess(at, "198.51.100.7") for at in range(BURST)} == {401}
    assert await guess(99, "198.51.100.7") == 429
    assert await guess(99, "198.51.100.8") == 401
    await gateway.post("/api/keys", {"name": "a"}, headers={**ADMIN, "x-forwarded-for": "198.51.100.9"})
    [entry] = (await gateway.http.get("/api/audit", headers=ADMIN)).json()["data"]
    assert entry["address"] == "198.51.100.9"


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("203.0.113.1", ["198.51.100.1"], "203.0.113.1"),  # not a proxy of ours
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["1.2.3.4, 198.51.100.1"], "198.51.100.1"),  # what stands left of it is a claim
        ("10.0.0.1", ["1.2.3.4", "198.51.100.1, 10.0.0.2"], "198.51.100.1"),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", ["198.51.100.1:4711"], "198.51.100.1"),
        ("10.0.0.1", ["[2001:db8::1]:4711"], "2001:db8::1"),
        ("10.0.0.1", ["2001:db8::1"], "2001:db8::1"),
        ("::ffff:10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["junk, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", ["198.51.100.1, "], "10.0.0.1"),
        ("10.0.0.1", [",".join(["10.0.0.2"] * 5000)], "10.0.0.2"),
        (None, ["198.51.100.1"], ""),
    ],
)
def test_the_nearest_entry_that_is_no_trusted_proxy_is_the_client(
    peer: str | None, forwarded: list[str], expected: str
) -> None:
    headers = [(b"host", b"x"), *[(b"x-forwarded-for", value.encode()) for value in forwarded]]
    scope = {"client": (peer, 4711) if peer else None, "headers": headers}
    assert ClientAddresses(["10.0.0.0/8"]).of(scope) == expected


@pytest.mark.parametrize("server", [{"metrics_auth": True}, {"host": "192.0.2.1"}])
async def test_metrics_and_the_providers_health_need_the_admin_key(start: Start, server: dict[str, object]) -> None:
    gateway = await start(server=server)
    for path in ("/metrics", "/health/ready?verbose", "/health?verbose"):
        assert code(await gateway.http.get(path)) == (401, "admin_key_required")
        assert (await gateway.http.get(path, headers=ADMIN)).status_code == 200
    assert (await gateway.http.get("/health/ready")).status_code == 200


async def test_on_a_loopback_address_metrics_are_open(gateway: Gateway) -> None:
    assert (await gateway.http.get("/metrics")).status_code == 200
    assert "providers" in (await gateway.http.get("/health/ready?verbose")).json()


async def test_a_key_has_no_more_calls_open_than_it_may(closed: Gateway) -> None:
    mine = {"x-bf-vk": KEY_A}
    message = {"model": "sim/gpt-4o", "max_tokens": 5, "messages": CHAT["messages"]}
    with closed.services.call_slots.hold(Caller(key_id="team-a", max_concurrent_calls=1)):
        for path, body in (
            ("/v1/chat/completions", CHAT),
            ("/v1/chat/completions", {**CHAT, "stream": True}),
            ("/anthropic/v1/messages", message),
            ("/v1/threads", {}),
        ):
            limited = await closed.post(path, body, headers=mine)
            assert limited.status_code == 429, path
            assert limited.headers["retry-after"] == "1"
        assert limited.json()["error"]["code"] == "concurrency_limited"
        overflow = await closed.post("/v1/chat/completions", CHAT, headers={**mine, "x-bf-async": "overflow"})
        assert code(overflow) == (429, "concurrency_limited")
        assert (await closed.post("/v1/chat/completions", CHAT, headers={"x-bf-vk": KEY_B})).status_code == 200
        await closed.submit(x_bf_vk=KEY_A)  # jobs have their own limit
    assert (await closed.post("/v1/chat/completions", CHAT, headers=mine)).status_code == 200
    assert not closed.services.call_slots._open


def test_slots_are_given_back_whatever_happens() -> None:
    slots, caller = CallSlots(), Caller(key_id="a", max_concurrent_calls=2)
    with slots.hold(caller), slots.hold(caller):
        with pytest.raises(ConcurrencyLimited), slots.hold(caller):
            pass
        with slots.hold(ANONYMOUS):
            pass
    with pytest.raises(ValueError), slots.hold(caller):  # noqa: PT011 - any error
        raise ValueError
    assert not slots._open


def test_a_process_does_not_serve_strangers_and_warns_of_a_weak_admin_key(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(Exposed, match=r"anyone who reaches 0\.0\.0\.0"):
        check_exposure(Settings.model_validate({"server": {"host": "0.0.0.0"}}), None)
    check_exposure(Settings.model_validate({"auth": {"admin_key": ADMIN_KEY}}), None)
    assert not caplog.text
    check_exposure(Settings(), "weak")
    assert "the admin key can be guessed: 4 characters" in caplog.text
