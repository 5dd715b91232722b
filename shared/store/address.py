"""Parses store URLs and masks their passwords."""

import re
import ssl
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, cast
from urllib.parse import parse_qsl, unquote, urlsplit

DEFAULT_REDIS_URL = "redis://127.0.0.1:6379/0"
CertificateCheck = Literal["required", "optional", "none"]

_TLS_OPTIONS = frozenset({"ssl_cert_reqs", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_check_hostname"})
# Greedy up to the last @: a password with an unescaped @ or / must not leak its tail.
_PASSWORD = re.compile(r"(?<=://)([^:/?#]*):.*@", re.DOTALL)
_PASSWORD_OPTION = re.compile(r"([?&](?:sentinel_)?password=)[^&]*", re.IGNORECASE)
_SENTINEL_OPTIONS = frozenset({"sentinel_username", "sentinel_password"})
_SENTINEL_PORT = 26379
_PORT = 6379
_SCHEMES = ("redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster")


@dataclass(frozen=True)
class Tls:
    """TLS settings: verification of the server's certificate, and the client's own; paths are of PEM files."""

    verify: CertificateCheck = "required"
    check_hostname: bool = True
    ca_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None

    def context(self) -> ssl.SSLContext:
        """Build the SSL context; reads the files.

        Raises:
            OSError: A file is missing or invalid.
        """
        context = ssl.create_default_context(cafile=self.ca_file)
        context.check_hostname = self.check_hostname
        context.verify_mode = ssl.VerifyMode[f"CERT_{self.verify.upper()}"]
        if self.certificate_file is not None:
            context.load_cert_chain(self.certificate_file, self.key_file)
        return context

    def arguments(self) -> dict[str, Any]:
        """Return redis-py's arguments for a connection with these settings."""
        return {
            "ssl": True,
            "ssl_cert_reqs": self.verify,
            "ssl_check_hostname": self.check_hostname,
            "ssl_ca_certs": self.ca_file,
            "ssl_certfile": self.certificate_file,
            "ssl_keyfile": self.key_file or self.certificate_file,
        }


@dataclass(frozen=True)
class Address:
    """Address and credentials of a store: a socket file, a host and port, Sentinels, or nodes of a cluster.

    Attributes:
        sentinels: Hosts and ports of the Sentinels; empty for a fixed address.
        service: The name under which the Sentinels know the primary.
        sentinel_username: For the Sentinels themselves, where they ask for it.
        nodes: Hosts and ports of some nodes of a cluster; empty for a store without cluster mode.
    """

    url: str
    path: str | None
    host: str
    port: int
    db: int
    username: str | None
    password: str | None
    tls: Tls | None
    sentinels: tuple[tuple[str, int], ...] = ()
    service: str = ""
    sentinel_username: str | None = None
    sentinel_password: str | None = None
    nodes: tuple[tuple[str, int], ...] = ()

    def __repr__(self) -> str:
        return f"Address({mask(self.url)})"


def mask(url: str) -> str:
    """Hide a URL's password; for logs and messages. Hides too much rather than too little."""
    return _PASSWORD_OPTION.sub(r"\1***", _PASSWORD.sub(r"\1:***@", url))


def names_cluster(url: str) -> bool:
    """Tell whether a URL names a cluster."""
    return url.partition("://")[0].endswith("+cluster")


def parse_address(url: str) -> Address:
    """Read `redis://`, `rediss://` (TLS), `unix://`, `redis+sentinel://` and `redis+cluster://` URLs.

    Redis: `redis://[user]:[password]@host:port/db`; socket file: `unix://[user]:[password]@/path?db=0`.
    Sentinel: `redis+sentinel://[user]:[password]@host[:port],host[:port]/name[/db]` with the store's credentials;
    those of the Sentinels are the options `sentinel_username` and `sentinel_password`; `rediss+sentinel://` uses TLS
    for both. Cluster: `redis+cluster://[user]:[password]@host[:port],host[:port]`, any of its nodes; a cluster has
    database 0 only. TLS options are query parameters: `ssl_ca_certs`, `ssl_certfile`, `ssl_keyfile`,
    `ssl_cert_reqs=required|optional|none`, `ssl_check_hostname=true|false`. The host name is checked
    unless the URL says otherwise.

    Raises:
        ValueError: The URL is invalid; the message never contains the password.
    """
    scheme = url.partition("://")[0]
    if scheme in {"redis+sentinel", "rediss+sentinel"}:
        return _parse_sentinel(url)
    if scheme in {"redis+cluster", "rediss+cluster"}:
        return _parse_cluster(url)
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ValueError(f"{mask(url)}: not a URL ({error})") from None
    if parts.scheme not in _SCHEMES:
        raise ValueError(f"{mask(url)}: a store URL begins with {', '.join(f'{each}://' for each in _SCHEMES)}")
    options = _read_options(url, parts.query, parts.scheme)
    is_socket = parts.scheme == "unix"
    if is_socket and not parts.path:
        raise ValueError(f"{mask(url)}: the path of the socket file is missing")
    return Address(
        url=url,
        path=unquote(parts.path) if is_socket else None,
        host=unquote(parts.hostname or "localhost"),
        port=_read_port(url),
        db=_read_db(url, options.get("db", "" if is_socket else parts.path.strip("/"))),
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        tls=_read_tls(url, options) if parts.scheme == "rediss" else None,
    )


class _Hosts(NamedTuple):
    """A URL of several hosts, which ``urlsplit`` does not read."""

    scheme: str
    hosts: str
    path: str
    username: str | None
    password: str | None
    options: dict[str, str]


def _split_hosts(url: str) -> _Hosts:
    scheme, _, rest = url.partition("://")
    rest, _, query = rest.partition("?")
    netloc, _, path = rest.partition("/")
    credentials, _, hosts = netloc.rpartition("@")
    username, _, password = credentials.partition(":")
    options = _read_options(url, query, scheme)
    return _Hosts(scheme, hosts, path, unquote(username) or None, unquote(password) or None, options)


def _parse_sentinel(url: str) -> Address:
    parts = _split_hosts(url)
    service, _, db = parts.path.strip("/").partition("/")
    if not service:
        raise ValueError(f"{mask(url)}: the primary's name is missing: redis+sentinel://host,host/name")
    sentinels = tuple(_read_host(url, host, _SENTINEL_PORT, "a Sentinel") for host in parts.hosts.split(","))
    return Address(
        url=url,
        path=None,
        host=sentinels[0][0],
        port=sentinels[0][1],
        db=_read_db(url, parts.options.get("db", db)),
        username=parts.username,
        password=parts.password,
        tls=_read_tls(url, parts.options) if parts.scheme == "rediss+sentinel" else None,
        sentinels=sentinels,
        service=unquote(service),
        sentinel_username=parts.options.get("sentinel_username"),
        sentinel_password=parts.options.get("sentinel_password"),
    )


def _parse_cluster(url: str) -> Address:
    parts = _split_hosts(url)
    if _read_db(url, parts.options.get("db", parts.path)) != 0:
        raise ValueError(f"{mask(url)}: a cluster has database 0 only")
    nodes = tuple(_read_host(url, host, _PORT, "a node") for host in parts.hosts.split(","))
    return Address(
        url=url,
        path=None,
        host=nodes[0][0],
        port=nodes[0][1],
        db=0,
        username=parts.username,
        password=parts.password,
        tls=_read_tls(url, parts.options) if parts.scheme == "rediss+cluster" else None,
        nodes=nodes,
    )


def _read_host(url: str, host: str, default_port: int, whose: str) -> tuple[str, int]:
    one = f"redis://{host.strip()}"
    try:
        name = urlsplit(one).hostname
    except ValueError:
        name = None
    if not name:
        raise ValueError(f"{mask(url)}: the host of {whose} is missing or invalid")
    return unquote(name), _read_port(url, one, default=default_port)


def _read_options(url: str, query: str, scheme: str) -> dict[str, str]:
    options = dict(parse_qsl(query, keep_blank_values=True))
    known = {"db"} | (_TLS_OPTIONS if scheme.startswith("rediss") else frozenset())
    if scheme.endswith("+sentinel"):
        known |= _SENTINEL_OPTIONS
    unknown = sorted(options.keys() - known)
    if unknown:
        raise ValueError(f"{mask(url)}: unknown option {unknown[0]}; known: {', '.join(sorted(known))}")
    return options


def _read_port(url: str, part: str = "", *, default: int = _PORT) -> int:
    try:
        port = urlsplit(part or url).port
    except ValueError:
        port = 0
    if port == 0:
        raise ValueError(f"{mask(url)}: the port must be a number from 1 to 65535")
    return port or default


def _read_db(url: str, text: str) -> int:
    if text and not (text.isascii() and text.isdigit()):
        raise ValueError(f"{mask(url)}: the database is not a number")
    return int(text or 0)


def _read_tls(url: str, options: dict[str, str]) -> Tls:
    verify = options.get("ssl_cert_reqs", "required")
    if verify not in {"required", "optional", "none"}:
        raise ValueError(f"{mask(url)}: ssl_cert_reqs must be required, optional or none")
    check = options.get("ssl_check_hostname", "true" if verify == "required" else "false").lower()
    if check not in {"true", "false"}:
        raise ValueError(f"{mask(url)}: ssl_check_hostname must be true or false")
    return Tls(
        verify=cast("CertificateCheck", verify),
        check_hostname=check == "true" and verify != "none",
        ca_file=options.get("ssl_ca_certs"),
        certificate_file=options.get("ssl_certfile"),
        key_file=options.get("ssl_keyfile"),
    )
