"""Providers with a proxy or certificates of their own are called with them, and the others as before."""

from pathlib import Path

import pytest

from shared.providers.registry import IncompleteProvider, configured_providers
from shared.providers.senders import check_senders, own_senders
from shared.settings.load import effective
from shared.settings.model import Settings
from shared.settings.secrets import secrets_of

PLAIN = {"wire": "openai", "base_url": "https://models.example.com/v1"}


def settings(**more: str) -> Settings:
    return Settings.model_validate({"providers": {"plain": PLAIN, "own": {**PLAIN, **more}}})


def test_only_those_with_settings_of_their_own_have_a_transport_of_their_own() -> None:
    for more in ({"proxy": "http://proxy:3128"}, {"proxy": "direct"}):
        assert set(own_senders(configured_providers(settings(**more), {}), {})) == {"own"}
    assert own_senders(configured_providers(settings(), {}), {}) == {}


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"proxy": "socks5://proxy"}, r"providers\.own\.proxy socks5:// is not supported"),
        ({"ca_file": "missing.pem"}, r"providers\.own: ca_file, .*No such file or directory \(missing\.pem\)"),
        ({"client_cert": "junk.pem"}, r"providers\.own: ca_file, .*junk\.pem"),
    ],
)
def test_what_cannot_be_used_is_refused_at_start(
    more: dict[str, str], reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("junk.pem").write_text("junk")
    with pytest.raises(IncompleteProvider, match=reason):
        check_senders(configured_providers(settings(**more), {}), {})


def test_a_proxy_of_the_environment_that_cannot_be_used_is_refused_at_start() -> None:
    with pytest.raises(IncompleteProvider, match="the environment variable HTTPS_PROXY socks5:// is not supported"):
        check_senders(configured_providers(settings(), {}), {"HTTPS_PROXY": "socks5://proxy"})
    check_senders(configured_providers(settings(), {}), {"HTTPS_PROXY": "http://proxy"})


def test_a_key_without_its_certificate_is_refused() -> None:
    with pytest.raises(ValueError, match="client_key is the key of client_cert"):
        settings(client_key="key.pem")


def test_a_proxys_password_is_masked_and_removed_from_messages() -> None:
    with_password = settings(proxy="http://me:hunter2@proxy:3128")
    assert effective(with_password)["providers"]["own"]["proxy"] == "http://****@proxy:3128"
    assert "hunter2" in set(secrets_of(with_password))
    [provider] = [each for each in configured_providers(with_password, {}).values() if each.name == "own"]
    assert "hunter2" not in repr(provider)
