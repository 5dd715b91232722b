"""Parses store URLs and masks their passwords."""

import re
import ssl
from dataclasses import dataclass
from typing import Literal, cast
from urllib.parse import parse_qsl, unquote, urlsplit

CertificateCheck = Literal["required", "optional", "none"]

_TLS_OPTIONS = frozenset({"ssl_cert_reqs", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_check_hostname"})
# Greedy up to the last @: a password with an unescaped @ or / must not leak its tail.
_PASSWORD = re.compile(r"(?<=://)([^:/?#]*):.*@", re.DOTALL)
_PASSWORD_OPTION = re.compile(r"([?&]password=)[^&]*", re.IGNORECASE)


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


@dataclass(frozen=True)
class Address:
    """Address and credentials of a store: a socket file (`path`) or a host and port."""

    url: str
    path: str | None
    host: str
    port: int
    db: int
    username: str | None
    password: str | None
    tls: Tls | None

    def __repr__(self) -> str:
        return f"Address({mask(self.url)})"


def mask(url: str) -> str:
    """Hide a URL's password; for logs and messages. Hides too much rather than too little."""
    return _PASSWORD_OPTION.sub(r"\1***", _PASSWORD.sub(r"\1:***@", url))


def parse_address(url: str) -> Address:
    """Read `redis://`, `rediss://` (TLS) and `unix://` URLs, as redis-py writes them.

    Redis: `redis://[user]:[password]@host:port/db`; socket file: `unix://[user]:[password]@/path?db=0`.
    TLS options are query parameters: `ssl_ca_certs`, `ssl_certfile`, `ssl_keyfile`,
    `ssl_cert_reqs=required|optional|none`, `ssl_check_hostname=true|false`. The host name is checked
    unless the URL says otherwise.

    Raises:
        ValueError: The URL is invalid; the message never contains the password.
    """
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ValueError(f"{mask(url)}: not a URL ({error})") from None
    if parts.scheme not in {"redis", "rediss", "unix"}:
        raise ValueError(f"{mask(url)}: a store URL begins with redis://, rediss:// or unix://")
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


def _read_options(url: str, query: str, scheme: str) -> dict[str, str]:
    options = dict(parse_qsl(query, keep_blank_values=True))
    known = {"db"} | (_TLS_OPTIONS if scheme == "rediss" else frozenset())
    unknown = sorted(options.keys() - known)
    if unknown:
        raise ValueError(f"{mask(url)}: unknown option {unknown[0]}; known: {', '.join(sorted(known))}")
    return options


def _read_port(url: str) -> int:
    try:
        port = urlsplit(url).port
    except ValueError:
        port = 0
    if port == 0:
        raise ValueError(f"{mask(url)}: the port must be a number from 1 to 65535")
    return port or 6379


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
