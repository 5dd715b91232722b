"""Store URLs: parsed strictly, logged without their password."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.store.address import Tls, mask, parse_address


def test_a_tcp_url_with_everything() -> None:
    address = parse_address("redis://al%40ice:p%3Aw@db.example:7000/3")
    assert (address.host, address.port, address.db, address.path) == ("db.example", 7000, 3, None)
    assert (address.username, address.password, address.tls) == ("al@ice", "p:w", None)


def test_a_tcp_url_with_nothing() -> None:
    address = parse_address("redis://")
    assert (address.host, address.port, address.db, address.username) == ("localhost", 6379, 0, None)


def test_a_socket_url() -> None:
    address = parse_address("unix://:secret@/run/a%20b.sock?db=2")
    assert (address.path, address.db, address.password, address.tls) == ("/run/a b.sock", 2, "secret", None)


def test_a_cluster_url() -> None:
    address = parse_address("redis+cluster://al%40ice:secret@a,b:7001")
    assert (address.nodes, address.db, address.tls) == ((("a", 6379), ("b", 7001)), 0, None)
    assert (address.username, address.password, repr(address).count("secret")) == ("al@ice", "secret", 0)
    assert parse_address("rediss+cluster://a/0").tls == Tls()


def test_tls_is_checked_unless_the_url_says_otherwise() -> None:
    assert parse_address("rediss://h").tls == Tls()
    assert parse_address("rediss://h?ssl_cert_reqs=none").tls == Tls(verify="none", check_hostname=False)
    assert parse_address("rediss://h?ssl_check_hostname=false").tls == Tls(check_hostname=False)
    files = parse_address("rediss://h/1?ssl_ca_certs=/ca&ssl_certfile=/c&ssl_keyfile=/k").tls
    assert files == Tls(ca_file="/ca", certificate_file="/c", key_file="/k")


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("http://h", "begins with redis://, rediss://, unix://, redis.sentinel://"),
        ("", "begins with"),
        ("localhost:6379", "begins with"),
        ("unix://", "path of the socket file"),
        ("redis://:hunter2@h:port", "port"),
        ("redis://:hunter2@h:99999", "port"),
        ("redis://h:0", "port"),
        ("redis://:hunter2@h/one", "database is not a number"),
        ("redis://h/1/2", "database is not a number"),
        ("unix:///s?db=-1", "database is not a number"),
        ("redis://h?decode_responses=true", "unknown option decode_responses; known: db"),
        ("redis://h?password=hunter2", "unknown option password"),
        ("redis://h?ssl_ca_certs=/x", "unknown option ssl_ca_certs"),
        ("rediss://h?ssl_cert_reqs=maybe", "ssl_cert_reqs"),
        ("rediss://h?ssl_check_hostname=perhaps", "ssl_check_hostname"),
        ("redis://:hunter2@[::1", "not a URL"),
        ("redis+cluster://:hunter2@h,", "host of a node is missing"),
        ("redis+cluster://:hunter2@h/1", "a cluster has database 0 only"),
        ("redis+cluster://:hunter2@h?db=1", "a cluster has database 0 only"),
        ("redis+cluster://:hunter2@h:port", "port"),
        ("redis+cluster://h?sentinel_password=hunter2", "unknown option sentinel_password"),
        ("redis+sentinel://:hunter2@h", "the primary's name is missing"),
        ("redis+sentinel://:hunter2@h,/main", "host of a Sentinel is missing"),
        ("redis+sentinel://:hunter2@[::1,h/main", "host of a Sentinel is missing"),
        ("redis+sentinel://:hunter2@h:0/main", "port"),
        ("redis+sentinel://:hunter2@h/main/one", "database is not a number"),
        ("redis+sentinel://h/main?sentinel_password=hunter2&x=1", "unknown option x"),
    ],
)
def test_a_bad_url_is_refused_by_name_and_without_its_password(url: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault) as raised:
        parse_address(url)
    assert "hunter2" not in str(raised.value)


def test_ipv6_hosts_are_read() -> None:
    assert parse_address("redis://[::1]:7000").host == "::1"


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("redis://h:6379/0", "redis://h:6379/0"),
        ("redis://alice@h", "redis://alice@h"),
        ("redis://alice:hunter2@h:1/0", "redis://alice:***@h:1/0"),
        ("redis://:hunter2@h", "redis://:***@h"),
        ("redis://:hun@ter/2@h", "redis://:***@h"),
        ("unix://:hunter2@/s?db=1", "unix://:***@/s?db=1"),
        ("redis://h?db=1&password=hunter2&x=1", "redis://h?db=1&password=***&x=1"),
    ],
)
def test_mask_hides_the_password_only(url: str, masked: str) -> None:
    assert mask(url) == masked


@given(st.text(alphabet="abcXYZ019@:/?#[]%& \n", min_size=1))
def test_no_password_survives_masking(tail: str) -> None:
    assert "SECRET" not in mask(f"redis://user:SECRET{tail}SECRET@host:1/0")


def test_an_address_shows_itself_masked() -> None:
    assert repr(parse_address("redis://:hunter2@h")) == "Address(redis://:***@h)"


def test_a_sentinel_url_names_hosts_primary_and_credentials() -> None:
    address = parse_address(
        "redis+sentinel://app:p%40ss@one,two:26380,[::1]/main/3?sentinel_username=s&sentinel_password=x"
    )
    assert address.sentinels == (("one", 26379), ("two", 26380), ("::1", 26379))
    assert (address.service, address.db, address.username, address.password) == ("main", 3, "app", "p@ss")
    assert (address.sentinel_username, address.sentinel_password, address.tls) == ("s", "x", None)
    assert "p%40ss" not in repr(address)
    assert "=x" not in repr(address)


def test_a_sentinel_url_may_use_tls() -> None:
    address = parse_address("rediss+sentinel://one/main?ssl_cert_reqs=none")
    assert address.tls is not None
    assert address.tls.arguments()["ssl_cert_reqs"] == "none"
