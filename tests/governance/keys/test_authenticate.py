import pytest

from shared.errors import VirtualKeyNotFound, VirtualKeyRequired
from shared.governance.keys.authenticate import Authenticator
from shared.governance.keys.caller import ANONYMOUS, Caller
from shared.settings.model import Settings

SETTINGS = {
    "auth": {"admin_key": "admin-secret-0123456789"},
    "virtual_keys": {
        "team-a": {"value": "sk-bf-team-a", "models": ["openai/*"], "weight": 2.0, "max_concurrent_jobs": 3},
        "team-b": {"value": "vk_12345"},
        "unmade": {},
    },
}


def governance(**auth: object) -> Authenticator:
    return Authenticator(Settings.model_validate({**SETTINGS, "auth": {**SETTINGS["auth"], **auth}}))


@pytest.mark.parametrize(
    "headers",
    [
        {b"x-bf-vk": b"sk-bf-team-a"},
        {b"authorization": b"Bearer sk-bf-team-a"},
        {b"authorization": b"bearer  sk-bf-team-a"},
        {b"x-api-key": b"sk-bf-team-a"},
        {b"x-goog-api-key": b"sk-bf-team-a"},
        {b"api-key": b"sk-bf-team-a"},
        {b"authorization": b"Bearer sk-openai-own", b"x-api-key": b"sk-bf-team-a"},
        {b"x-bf-vk": b"sk-bf-team-a", b"authorization": b"Bearer vk_12345"},
    ],
)
async def test_every_header_may_carry_a_key(headers: dict[bytes, bytes]) -> None:
    caller = await governance().identify(headers)
    assert caller == Caller("team-a", "team-a", ("openai/*",), 2.0, 3, scope="team-a")


async def test_a_configured_key_may_have_any_value() -> None:
    assert (await governance().identify({b"x-bf-vk": b"vk_12345"})).key_id == "team-b"


@pytest.mark.parametrize(
    "headers",
    [
        {b"x-bf-vk": b"vk_unknown"},
        {b"authorization": b"Bearer sk-bf-unknown"},
        {b"x-api-key": b"sk-bf-unknown"},
        {b"x-bf-vk": b"x" * 100_000},
    ],
)
async def test_an_unknown_key_is_a_401(headers: dict[bytes, bytes]) -> None:
    with pytest.raises(VirtualKeyNotFound):
        await governance().identify(headers)


async def test_any_other_bearer_is_ignored_but_scopes_idempotency() -> None:
    one = await governance(require_virtual_key=False).identify({b"authorization": b"Bearer sk-openai-own"})
    two = await governance(require_virtual_key=False).identify({b"authorization": b"Bearer sk-openai-other"})
    assert one.key_id == two.key_id == ""
    assert one.scope != two.scope
    assert b"sk-openai-own" not in one.scope.encode()
    assert await governance(require_virtual_key=False).identify({}) is ANONYMOUS
    assert await governance(require_virtual_key=False).identify({b"authorization": b""}) is ANONYMOUS


async def test_a_configured_key_makes_keys_required() -> None:
    assert governance().requires_key
    with pytest.raises(VirtualKeyRequired):
        await governance().identify({})
    assert not Authenticator(Settings()).requires_key


async def test_a_key_can_be_required() -> None:
    with pytest.raises(VirtualKeyRequired):
        await governance(require_virtual_key=True).identify({b"authorization": b"Bearer sk-openai-own"})


async def test_the_admin_key_administers_and_identifies_no_caller() -> None:
    headers = {b"authorization": b"Bearer admin-secret-0123456789"}
    with pytest.raises(VirtualKeyRequired):
        await governance().identify(headers)
    assert not (await governance(require_virtual_key=False).identify(headers)).admin
    assert governance().is_admin(headers)
    assert governance().is_admin({b"x-bf-admin-key": b"admin-secret-0123456789"})
    assert not governance().is_admin({})
    assert not governance().is_admin({b"authorization": b"Bearer sk-bf-team-a"})
    assert not Authenticator(Settings()).is_admin({b"authorization": b"Bearer "})
    assert Authenticator(Settings(), admin_key="made").is_admin({b"authorization": b"Bearer made"})


async def test_a_jobs_owner_is_found() -> None:
    assert (await governance().owner("team-a")).weight == 2.0
    assert await governance().owner("gone") == Caller(key_id="gone", name="gone")


async def test_a_key_that_is_no_longer_configured_starts_nothing_new() -> None:
    assert not (await governance().submitting_owner("team-a")).revoked
    assert (await governance().submitting_owner("gone")).revoked
    assert not (await governance().submitting_owner("")).revoked  # callers without a key


def test_single_tenant() -> None:
    assert Authenticator(Settings()).single_tenant
    assert not governance().single_tenant


def test_visibility_of_jobs() -> None:
    assert Caller(key_id="a").may_see("a")
    assert Caller(key_id="a").may_see("")
    assert not Caller(key_id="a").may_see("b")
    assert not ANONYMOUS.may_see("b")
    assert Caller(admin=True).may_see("b")
