"""Deliveries are leased, retried, bounded, fair between endpoints, and listed."""

import re

import pytest

from shared.errors import DeliveryNotFound, InvalidRequest
from shared.store.commands import RedisCommands
from shared.webhooks import keys
from shared.webhooks.model import Attempt, Status, attempt_of, origin_of, without_secrets
from shared.webhooks.scripts import webhook_scripts
from shared.webhooks.store import DeliveryFilter, DeliveryStore, Finish
from tests.jobs.test_keys import assert_every_key_is_known
from tests.webhooks.lane import AGAIN, OK, attempt, claim_one, event, only_one, store_on


@pytest.fixture
def store(commands: RedisCommands) -> DeliveryStore:
    return store_on(commands)


def url_event(number: int, *, host: str, owner: str = "vk_a") -> object:
    return event(f"job-{owner}-{host}-{number}", webhook="", url=f"https://{host}/hook", owner=owner)


async def test_a_delivery_is_leased_and_ends_once(store: DeliveryStore, commands: RedisCommands) -> None:
    assert await store.add(event(owner="vk_a")) == "added"
    claim = await claim_one(store)
    assert (claim.webhook, claim.owner, claim.event_id) == ("orders", "vk_a", claim.id)
    assert (await store.claim(10)).claims == ()
    await assert_every_key_is_known(commands)
    assert await store.finish(claim, OK) == "delivered"
    assert await store.finish(claim, OK) == "lost"
    found = await only_one(store)
    assert found.to_dict() == {
        "id": claim.id,
        "object": "webhook.delivery",
        "event": "async_job.completed",
        "job_id": "job-1",
        "webhook": "orders",
        "url": "https://example.com/hook",
        "status": "delivered",
        "reason": None,
        "created_at": found.to_dict()["created_at"],
        "attempts": [{"at": "2026-09-21T14:13:20.000Z", "status": 200, "duration_ms": 12, "answer": ""}],
    }
    await assert_every_key_is_known(commands)


async def test_an_entry_read_twice_is_one_delivery_and_a_later_outcome_is_sent_again(store: DeliveryStore) -> None:
    assert await store.add(event(entry="1-0")) == "added"
    assert await store.add(event(entry="2-0")) == "known", "the first is still pending, and says the same"
    await store.finish(await claim_one(store), OK)
    assert await store.add(event(entry="1-0")) == "known"
    assert await store.add(event(entry="3-0")) == "added"
    found = await only_one(store)
    assert (found.status, len(found.attempts)) == (Status.PENDING, 1)


async def test_a_dead_workers_delivery_is_claimed_again(commands: RedisCommands) -> None:
    store = store_on(commands, timeout_s=0.001)
    await store.add(event())
    dead = await claim_one(store)
    lease_end = await commands.execute("ZSCORE", "finops:deliveries:leases", dead.id)
    assert lease_end
    await commands.execute("ZADD", "finops:deliveries:leases", 1, dead.id)
    again = await claim_one(store)
    assert again.id == dead.id
    assert await store.finish(dead, OK) == "lost"
    assert await store.finish(again, OK) == "delivered"
    assert await commands.execute("EXISTS", "finops:deliveries:counts") == 0


async def test_a_lease_of_an_expired_delivery_is_dropped(store: DeliveryStore, commands: RedisCommands) -> None:
    await commands.execute("ZADD", "finops:deliveries:leases", 1, "evt_gone")
    await store.claim(1)
    assert await commands.execute("ZCARD", "finops:deliveries:leases") == 0


async def test_an_expired_delivery_leaves_its_endpoint(store: DeliveryStore, commands: RedisCommands) -> None:
    await store.add(event())
    await commands.execute("DEL", keys.delivery((await only_one(store)).id))
    claimed = await store.claim(5)
    assert claimed.claims == ()
    assert await commands.execute("EXISTS", "finops:deliveries:due", "finops:deliveries:counts") == 0


async def test_a_retry_waits_and_a_release_does_not(store: DeliveryStore) -> None:
    await store.add(event())
    assert await store.finish(await claim_one(store), Finish("released")) == "pending"
    claim = await claim_one(store)
    late = Finish("retry", attempt(500), delay_s=60.0, counts=True, reason="status_500")
    assert await store.finish(claim, late) == "pending"
    claimed = await store.claim(1)
    assert claimed.claims == ()
    assert 50 < claimed.next_s <= 60
    assert claimed.pending == await store.pending() == 1
    found = await only_one(store)
    assert (found.reason, found.status, len(found.attempts)) == ("status_500", Status.PENDING, 1)


async def test_endpoints_take_turns(store: DeliveryStore) -> None:
    for number in range(6):
        await store.add(url_event(number, host="busy.example"))
    await store.add(url_event(0, host="quiet.example"))
    first = (await store.claim(2)).claims
    assert {origin_of(claim.url) for claim in first} == {"https://busy.example", "https://quiet.example"}


async def test_an_endpoint_and_a_key_have_their_share(commands: RedisCommands) -> None:
    store = store_on(commands, max_per_endpoint=2, max_per_key=3)
    for number in range(4):
        for host in ("one.example", "two.example"):
            await store.add(url_event(number, host=host))
    await store.add(url_event(0, host="one.example", owner="vk_b"))
    claims = (await store.claim(100)).claims
    assert sorted(claim.owner for claim in claims) == ["vk_a"] * 3 + ["vk_b"]
    busiest = [origin_of(claim.url) for claim in claims if claim.owner == "vk_a"]
    assert max(busiest.count(origin) for origin in busiest) == 2
    for claim in claims:
        await store.finish(claim, OK)


async def test_five_failures_open_the_circuit_and_one_probe_closes_it(
    store: DeliveryStore, commands: RedisCommands
) -> None:
    for number in range(8):
        await store.add(event(f"job-{number}"))
    for claim in (await store.claim(5)).claims:
        await store.finish(claim, AGAIN)
    claimed = await store.claim(8)
    assert claimed.claims == ()
    assert 3 < claimed.next_s <= 5
    endpoint = event().endpoint
    await commands.execute("HSET", keys.endpoint(endpoint), "open_until_ms", 0)
    await commands.execute("ZADD", "finops:deliveries:due", 1, endpoint)
    [probe] = (await store.claim(8)).claims
    await store.finish(probe, OK)
    assert len((await store.claim(8)).claims) == 7


async def fail_for_long(store: DeliveryStore, commands: RedisCommands, job_id: str = "job-1") -> None:
    """An endpoint has failed for longer than a day when the next attempt fails."""
    await store.add(event(job_id))
    await commands.execute("HSET", keys.endpoint(event().endpoint), "failing_since_ms", 1)
    assert await store.finish(await claim_one(store), AGAIN) == "failed"


async def test_an_endpoint_that_fails_for_a_day_is_disabled_with_an_alert(
    store: DeliveryStore, commands: RedisCommands
) -> None:
    await fail_for_long(store, commands)
    [(_, fields)] = await commands.execute("XRANGE", "finops:alerts", "-", "+")
    assert fields[:4] == [b"kind", b"webhook.disabled", b"scope", b"webhook:orders"]
    assert await store.disabled() == ["orders"]
    await store.add(event("job-2"))
    claimed = await store.claim(5)
    assert (claimed.claims, claimed.disabled) == ((), 1)
    failed, _ = await store.find(DeliveryFilter(status="failed"))
    assert [delivery.reason for delivery in failed] == ["endpoint_disabled"] * 2
    assert await commands.execute("XLEN", "finops:alerts") == 1


async def test_a_redelivery_enables_a_disabled_endpoint_when_it_is_accepted(
    store: DeliveryStore, commands: RedisCommands
) -> None:
    await fail_for_long(store, commands)
    identity = (await only_one(store)).id
    await store.redeliver(identity)
    assert await store.finish(await claim_one(store), AGAIN) == "failed", "once: it is still disabled"
    assert (await store.redeliver(identity)).status is Status.PENDING
    assert await store.finish(await claim_one(store), OK) == "delivered"
    assert await store.disabled() == []
    assert len((await only_one(store)).attempts) == 3


async def test_a_redelivery_of_a_pending_event_is_attempted_at_once(store: DeliveryStore) -> None:
    await store.add(event())
    claim = await claim_one(store)
    await store.redeliver(claim.id)
    assert (await store.claim(1)).claims == (), "it is being sent"
    await store.finish(claim, Finish("retry", attempt(500), delay_s=3600, counts=True, reason="status_500"))
    await store.redeliver(claim.id)
    assert (await claim_one(store)).age_s < 60


async def test_deliveries_are_given_up_after_their_time(commands: RedisCommands) -> None:
    store = store_on(commands, retry_for_s=60)
    await store.add(event())
    identity = (await only_one(store)).id
    await commands.execute("HSET", keys.delivery(identity), "from_ms", 1)
    assert (await store.claim(1)).claims == ()
    assert (await only_one(store)).reason == "given_up"


async def test_too_many_pending_deliveries_of_a_webhook_are_recorded_as_failed(commands: RedisCommands) -> None:
    store = store_on(commands, max_pending=2)
    added = [await store.add(event(f"job-{number}")) for number in range(3)]
    other = await store.add(event("job-9", webhook="", url="https://example.com/", owner="vk_a"))
    assert (added, other) == (["added", "added", "refused"], "added")
    [refused], _ = await store.find(DeliveryFilter(status="failed"))
    assert refused.reason == "too_many_pending"
    assert (await store.redeliver(refused.id)).status is Status.PENDING


async def test_lists_are_filtered_and_paged(store: DeliveryStore) -> None:
    for number in range(5):
        await store.add(event(f"job-{number}"))
    await store.add(event("job-0", state="failed", webhook="", url="https://example.com/"))
    await store.finish(await claim_one(store), OK)

    async def ids(limit: int = 20, after: str = "", **only: str) -> list[str]:
        return [row.job_id for row in (await store.find(DeliveryFilter(**only), limit=limit, after=after))[0]]

    everything = [row async for row in pages(store)]
    assert everything == ["job-0", "job-4", "job-3", "job-2", "job-1", "job-0"]
    assert len(await ids(status="delivered")) == 1
    assert len(await ids(status="pending")) == 5
    assert await ids(job_id="job-0") == ["job-0", "job-0"]
    assert await ids(event="async_job.failed") == ["job-0"]
    assert await ids(webhook="orders", job_id="job-3") == ["job-3"]
    assert len(await ids(webhook="orders")) == 5
    assert await ids(webhook="unknown") == []
    assert (
        len(await ids(webhook="orders", status="delivered")) + len(await ids(webhook="orders", status="pending")) == 5
    )
    for cursor in ("evt_" + "0" * 32, "../x", "1"):
        with pytest.raises(InvalidRequest, match="after must be"):
            await store.find(DeliveryFilter(), after=cursor)


async def pages(store: DeliveryStore):
    after, more = "", True
    while more:
        rows, more = await store.find(DeliveryFilter(), after=after, limit=2)
        after = rows[-1].id
        for row in rows:
            yield row.job_id


async def test_lists_drop_what_has_expired(store: DeliveryStore, commands: RedisCommands) -> None:
    for number in range(3):
        await store.add(event(f"job-{number}"))
    rows, _ = await store.find(DeliveryFilter())
    for row in rows[1:]:
        await commands.execute("DEL", keys.delivery(row.id))
    assert [row.job_id for row in (await store.find(DeliveryFilter()))[0]] == ["job-2"]
    await store.add(event("job-3"))
    assert await commands.execute("ZCARD", keys.ALL) == 2


async def test_unknown_deliveries_are_not_found(store: DeliveryStore) -> None:
    for identity in ("evt_" + "0" * 32, "x", "a:b", "evt_" + "0" * 31 + "\n"):
        with pytest.raises(DeliveryNotFound):
            await store.get(identity)
        with pytest.raises(DeliveryNotFound):
            await store.redeliver(identity)


def test_python_and_lua_build_the_same_names() -> None:
    prelude = webhook_scripts()["prelude"].source
    for pattern in (key.pattern for key in keys.KEYS if not key.pattern.startswith("finops:webhooks:")):
        name = re.sub(r"<\w+>.*", "", pattern)
        assert f"'{name}" in prelude, pattern
    assert keys.by_status("x") == "finops:deliveries:status:x"
    assert keys.attempts("x") == keys.delivery("x") + ":attempts"


def test_stored_attempts_of_any_version_are_read() -> None:
    assert attempt_of({"at_ms": 1}) == Attempt(at_ms=1, status=None, duration_ms=0)
    assert Attempt(at_ms=0, status=None, duration_ms=1, error="timeout").to_dict()["error"] == "timeout"


def test_urls_are_shown_without_what_authorises_the_sender() -> None:
    assert without_secrets("https://u:p@h.example:8/a?token=x#f") == "https://h.example:8/a"
    assert origin_of("https://u:p@H.example:8/a?b") == "https://h.example:8"
    assert origin_of("https://[::1/") == "https://[::1/"


async def test_long_lists_are_read_in_pieces(
    store: DeliveryStore, commands: RedisCommands, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.add(event("oldest"))
    gone = [part for number in range(1200) for part in (number + 10, f"evt_{number}")]
    await commands.execute("ZADD", keys.ALL, *gone)
    assert [row.job_id for row in (await store.find(DeliveryFilter()))[0]] == ["oldest"]
    monkeypatch.setattr("shared.webhooks.store.MAX_PIECES", 1)
    assert await store.find(DeliveryFilter()) == ([], False)
