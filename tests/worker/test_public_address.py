"""Callbacks never lead to an address that is not public, however it is written."""

import pytest

from worker.public_address import PrivateAddress, is_public, resolve, resolve_public


@pytest.mark.parametrize(
    "address",
    ["93.184.216.34", "2606:2800:220:1::1", "::ffff:93.184.216.34", "64:ff9b::5db8:d822", "2002:5db8:d822::1"],
)
def test_public_addresses(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "10.0.0.1",
        "100.64.0.1",
        "127.0.0.1",
        "169.254.169.254",
        "172.31.255.255",
        "192.0.0.192",
        "192.88.99.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::93.184.216.34",
        "::ffff:10.0.0.1",
        "::ffff:0:127.0.0.1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b::7f00:1",
        "64:ff9b:1::1",
        "100::1",
        "2001:db8::1",
        "2001:10::1",
        "2001:0:7f00:1::1",
        "2001:0:5db8:d822:0:0:f5ff:fffe",
        "2002:0a00:0001::1",
        "2606:2800:220:1:0:5efe:a00:1",
        "3fff::1",
        "5f00::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
    ],
)
def test_other_addresses(address: str) -> None:
    assert not is_public(address)


async def test_a_host_is_resolved_once_to_checked_addresses() -> None:
    assert await resolve_public("93.184.216.34", 443) == ("93.184.216.34",)
    assert await resolve("127.0.0.1", 80) == ("127.0.0.1",)


@pytest.mark.parametrize("host", ["localhost", "127.1", "2130706433", "0x7f000001", "0177.0.0.1"])
async def test_spellings_of_private_addresses_are_refused(host: str) -> None:
    with pytest.raises(PrivateAddress):
        await resolve_public(host, 443)


async def test_a_name_without_an_address_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.public_address.socket.getaddrinfo", lambda *_, **__: [])
    with pytest.raises(OSError, match="no address"):
        await resolve("example.com", 443)
