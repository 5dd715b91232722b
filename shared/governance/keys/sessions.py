"""Sign-in sessions of the console: a random token in a cookie, its hash in the store, with an end.

The key that signed in is never stored: a session says who it is, and a virtual key is looked up again at each use, so
that revoking it ends its sessions.
"""

import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

import orjson

from shared import clock
from shared.errors import StoreUnavailable
from shared.governance import keyspace
from shared.governance.keys.roles import Administrator, Role
from shared.store.commands import RedisCommands
from shared.store.errors import StoreConnectionError

COOKIE = "finops_session"
SESSION_S = 12 * 3600
TICKET_S = 120
FRESH_S = 2.0  # how late a sign-out on another process may act
REMEMBERED = 1000
RENEWED = 100
TOKEN_BYTES = 32
MAX_TOKEN_CHARS = 64


@dataclass(frozen=True, slots=True)
class Session:
    """Who is signed in.

    Attributes:
        key_id: The virtual key's id; empty: the administrator, or a person.
        expires_at: RFC 3339.
        role: What an administrator or person may do.
        name: The person's; empty: the holder of the admin key.
    """

    key_id: str
    expires_at: str
    role: Role = Role.ADMIN
    name: str = ""

    @property
    def administrator(self) -> Administrator | None:
        """Who administers; None: a virtual key signed in."""
        return None if self.key_id else Administrator(self.name, Role(self.role))


@dataclass(slots=True)
class _Known:
    session: Session | None
    read_at: float
    used_at: float


class Sessions:
    """Sessions in the store, known for two seconds in the process.

    Args:
        commands: The store.
        now: Monotonic seconds.
    """

    def __init__(self, commands: RedisCommands, *, now: Callable[[], float] = time.monotonic) -> None:
        self._commands = commands
        self._now = now
        self._known: OrderedDict[str, _Known] = OrderedDict()

    async def create(self, key_id: str = "", *, role: Role = Role.ADMIN, name: str = "") -> tuple[str, Session]:
        """Begin a session; its token is returned once and stored as a hash alone.

        Args:
            key_id: The virtual key that signed in; empty: an administrator or person.
            role: What an administrator or person may do.
            name: The person's; empty: the holder of the admin key.

        Raises:
            StoreUnavailable: No answer.
        """
        token = secrets.token_urlsafe(TOKEN_BYTES)
        session = Session(key_id, clock.rfc3339(time.time() + SESSION_S), role, name)
        await self._execute("SET", keyspace.session(_digest(token)), orjson.dumps(asdict(session)), "EX", SESSION_S)
        return token, session

    async def find(self, token: str) -> Session | None:
        """The session of a token; None: unknown, ended or expired.

        Raises:
            StoreUnavailable: No answer.
        """
        if not 0 < len(token) <= MAX_TOKEN_CHARS or not token.isascii():
            return None
        name = keyspace.session(_digest(token))
        known = self._known.get(name)
        if known is not None and self._now() - known.read_at < FRESH_S:
            known.used_at = self._now()
            return known.session
        session = _session_of(await self._execute("GET", name))
        self._known[name] = _Known(session, self._now(), self._now())
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return session

    def in_use(self) -> list[str]:
        """Keys of the sessions that were used just now: whoever reads the store anyway reads them too, for ``renew``.

        Tabs of a page that refreshes itself every second thus cost no read of their own.
        """
        now = self._now()
        return [name for name, known in self._known.items() if now - known.used_at < FRESH_S][-RENEWED:]

    def renew(self, names: Sequence[str], values: Sequence[bytes | None]) -> None:
        """Take what was read of sessions; those that were signed out meanwhile stay so.

        Args:
            names: What ``in_use`` returned before the read.
            values: Their values; None: the session has ended.
        """
        for name, stored in zip(names, values, strict=True):
            known = self._known.get(name)
            if known is not None:
                known.session, known.read_at = _session_of(stored), self._now()

    async def end(self, token: str) -> None:
        """Sign out.

        Raises:
            StoreUnavailable: No answer.
        """
        name = keyspace.session(_digest(token))
        self._known.pop(name, None)
        await self._execute("DEL", name)

    async def of_request(self, headers: Mapping[bytes, bytes]) -> Session | None:
        """The session of a request that carries its cookie and comes from the gateway's own pages.

        ``SameSite=Strict`` keeps the cookie from other sites; the check of the origin holds where a browser or a
        sibling subdomain does not honour it.

        Args:
            headers: Lower-case names.

        Raises:
            StoreUnavailable: No answer.
        """
        cookie = headers.get(b"cookie")
        if cookie is None or COOKIE.encode() not in cookie or not is_same_origin(headers):
            return None
        return await self.find(token_of(cookie))

    async def create_ticket(self) -> str:
        """A one-time way in for the administrator, good for two minutes (``finops ui``).

        Raises:
            StoreUnavailable: No answer.
        """
        ticket = secrets.token_urlsafe(TOKEN_BYTES)
        await self._execute("SET", keyspace.session_ticket(_digest(ticket)), b"1", "EX", TICKET_S)
        return ticket

    async def use_ticket(self, ticket: str) -> bool:
        """Take a ticket; False: it is unknown, used or expired.

        Raises:
            StoreUnavailable: No answer.
        """
        if not 0 < len(ticket) <= MAX_TOKEN_CHARS or not ticket.isascii():
            return False
        return bool(await self._execute("DEL", keyspace.session_ticket(_digest(ticket))))

    async def _execute(self, *args: str | bytes | int) -> object:
        try:
            return await self._commands.execute(*args)
        except StoreConnectionError as error:
            raise StoreUnavailable("Sessions cannot be read at the moment.") from error


def _session_of(stored: object) -> Session | None:
    return Session(**orjson.loads(stored)) if isinstance(stored, bytes) else None


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def token_of(cookie: bytes) -> str:
    """The session token in a ``cookie`` header; empty: none."""
    return cookie_in(cookie, COOKIE)


def cookie_in(cookie: bytes, name: str) -> str:
    """The value of a cookie in a ``cookie`` header; empty: none."""
    try:
        found = SimpleCookie(cookie.decode("latin-1")).get(name)
    except CookieError:
        return ""
    return found.value if found is not None else ""


def session_cookie(token: str, lifetime_s: int, *, secure: bool) -> tuple[bytes, bytes]:
    """The header that gives a browser its session; with a lifetime of 0, the one that takes it away."""
    value = f"{COOKIE}={token}; Path=/; Max-Age={lifetime_s}; HttpOnly; SameSite=Strict{'; Secure' if secure else ''}"
    return b"set-cookie", value.encode()


def is_same_origin(headers: Mapping[bytes, bytes]) -> bool:
    """Whether a browser sent the request from a page of this host; requests that no browser sent have no origin."""
    site = headers.get(b"sec-fetch-site")
    if site is not None and site not in (b"same-origin", b"none"):
        return False
    origin = headers.get(b"origin")
    return origin is None or urlsplit(origin.decode("latin-1")).netloc.encode("latin-1") == headers.get(b"host", b"")
