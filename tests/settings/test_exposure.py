"""The gateway does not listen where strangers would get in, unless its configuration says so."""

import pytest

from shared.settings.exposure import exposures, open_to_strangers, weak_admin_key
from shared.settings.load import InvalidConfiguration, load_settings
from shared.settings.model import Settings

LONG_KEY = "0123456789abcdef01234567"


def settings(host: str, auth: dict[str, object] | None = None, **more: object) -> Settings:
    server = {"host": host, **more.pop("server", {})}  # type: ignore[dict-item]
    return Settings.model_validate({"server": server, "auth": auth or {}, **more})


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "gateway.example.com", ""])
def test_a_public_address_needs_keys_or_a_decision(host: str) -> None:
    found = open_to_strangers(settings(host))
    assert found is not None
    assert "FINOPS_REQUIRE_VIRTUAL_KEY=true" in found.fix
    assert "--allow-open" in found.fix
    assert settings(host).server.guards_metrics
    for decided in (
        settings(host, {"require_virtual_key": True}),
        settings(host, {"require_virtual_key": False}),
        settings(host, server={"allow_open": True}),
        settings(host, virtual_keys={"a": {"value": "sk-bf-a"}}),
    ):
        assert exposures(decided) == []


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_a_loopback_address_may_be_open(host: str) -> None:
    assert exposures(settings(host, {"admin_key": "short"})) == []
    assert not settings(host).server.guards_metrics
    assert settings(host, server={"metrics_auth": True}).server.guards_metrics


@pytest.mark.parametrize("key", [LONG_KEY[:-1], "ab" * 30, "zq"])
def test_an_admin_key_that_can_be_guessed_is_refused_at_a_public_address(key: str) -> None:
    weak = weak_admin_key(key)
    assert weak is not None
    assert key not in "".join(weak)
    open_address = settings("0.0.0.0", {"admin_key": key, "require_virtual_key": True})
    assert exposures(open_address) == [weak]
    assert exposures(open_address, LONG_KEY) == []
    assert exposures(settings("0.0.0.0", {"require_virtual_key": True}), key) == [weak]


def test_trusted_proxies_are_addresses_or_networks() -> None:
    proxies = settings("::1", server={"trusted_proxies": ["10.0.0.1", "fd00::/8"]}).server.trusted_proxies
    assert proxies == ("10.0.0.1/32", "fd00::/8")
    with pytest.raises(ValueError, match="must be an IP address or a network"):
        settings("::1", server={"trusted_proxies": ["10.0.0.1/8"]})


def test_the_environment_can_allow_an_open_address() -> None:
    assert load_settings(environ={"FINOPS_ALLOW_OPEN": "true"}).server.allow_open
    with pytest.raises(InvalidConfiguration):
        load_settings(environ={"FINOPS_ALLOW_OPEN": "perhaps"})
