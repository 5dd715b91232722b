"""API tokens: what machines administer with, each with a role and an end; values are stored as hashes alone."""

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import orjson

from shared import clock
from shared.errors import Conflict, StoreUnavailable, TokenNotFound
from shared.governance import keyspace
from shared.governance.keys.roles import Administrator, Role
from shared.store.commands import Argument, RedisCommands
from shared.store.errors import StoreConnectionError

PREFIX = "fin-"
MAX_TOKENS = 1_000
SECRET_BYTES = 32
_VALUE = re.compile(rb"fin-(tok_[0-9a-f]{16})-[A-Za-z0-9_-]{43}")
_ID = re.compile(r"tok_[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class ApiToken:
    """A token without its value.

    Attributes:
        id: ``tok_`` and 16 hexadecimal digits; a part of the value, so that logs can name a leaked one.
        name: For people.
        role: One of ``GIVEN_ROLES``.
        created_at: RFC 3339.
        created_by: Who made it, as in the audit trail.
        expires_at: RFC 3339.
        digest: Of the value.
    """

    id: str
    name: str
    role: Role
    created_at: str
    created_by: str
    expires_at: str
    digest: str

    @property
    def holder(self) -> Administrator:
        """Who uses it, by name and id."""
        return Administrator(f"token {self.name} ({self.id})", self.role)


class ApiTokens:
    """Create, list, find and delete tokens; nothing is cached, so that a deleted one is refused at once.

    Args:
        commands: The store. It deletes a token at its end.
    """

    def __init__(self, commands: RedisCommands) -> None:
        self._commands = commands

    async def create(self, name: str, role: Role, expires_at: float, created_by: str) -> tuple[ApiToken, str]:
        """Create a token.

        Args:
            name: For people; several tokens may share one.
            role: What it may do.
            expires_at: Unix seconds, in the future.
            created_by: For the list.

        Returns:
            The token, and its value, which cannot be read again.

        Raises:
            Conflict: There are 1,000 tokens.
            StoreUnavailable: No answer.
        """
        now = time.time()
        await self._execute("ZREMRANGEBYSCORE", keyspace.TOKENS, "-inf", now)
        if int(await self._execute("ZCARD", keyspace.TOKENS)) >= MAX_TOKENS:  # type: ignore[call-overload]
            raise Conflict(f"There are {MAX_TOKENS:,} API tokens; delete some first.", code="too_many_tokens")
        token_id = f"tok_{secrets.token_hex(8)}"
        value = f"{PREFIX}{token_id}-{secrets.token_urlsafe(SECRET_BYTES)}"
        times = clock.rfc3339(now), clock.rfc3339(expires_at)
        token = ApiToken(token_id, name, role, times[0], created_by, times[1], _digest(value.encode()))
        # The entry of the list first: without its record it is left out, a record without an entry could not be found.
        await self._execute("ZADD", keyspace.TOKENS, expires_at, token_id)
        record = orjson.dumps(asdict(token))
        await self._execute("SET", keyspace.token(token_id), record, "EXAT", int(expires_at))
        return token, value

    async def list(self) -> Sequence[ApiToken]:
        """Every token, the one that ends first first.

        Raises:
            StoreUnavailable: No answer.
        """
        ids = await self._execute("ZRANGE", keyspace.TOKENS, 0, -1)
        if not isinstance(ids, list) or not ids:
            return []
        records = await self._execute("MGET", *(keyspace.token(each.decode()) for each in ids))
        return [_token_in(record) for record in records if record] if isinstance(records, list) else []

    async def get(self, token_id: str) -> ApiToken:
        """Return a token.

        Raises:
            TokenNotFound: It does not exist, or has expired.
            StoreUnavailable: No answer.
        """
        record = await self._execute("GET", keyspace.token(token_id)) if _ID.fullmatch(token_id) else None
        if not isinstance(record, bytes):
            raise TokenNotFound(token_id)
        return _token_in(record)

    async def delete(self, token_id: str) -> None:
        """Delete a token: its next use is refused, on every process.

        Raises:
            TokenNotFound: It does not exist, or has expired.
            StoreUnavailable: No answer.
        """
        if not _ID.fullmatch(token_id) or not await self._execute("DEL", keyspace.token(token_id)):
            raise TokenNotFound(token_id)
        await self._execute("ZREM", keyspace.TOKENS, token_id)

    async def holder_of(self, value: bytes) -> Administrator | None:
        """Who holds a token with that value; None: it is unknown, deleted or expired.

        Raises:
            StoreUnavailable: No answer.
        """
        match = _VALUE.fullmatch(value)
        record = await self._execute("GET", keyspace.token(match[1].decode())) if match else None
        if not isinstance(record, bytes):
            return None
        token = _token_in(record)
        return token.holder if hmac.compare_digest(token.digest, _digest(value)) else None

    async def _execute(self, *args: Argument) -> object:
        try:
            return await self._commands.execute(*args)
        except StoreConnectionError as error:
            raise StoreUnavailable("The store did not answer: API tokens cannot be read at the moment.") from error


def _token_in(record: bytes) -> ApiToken:
    fields = orjson.loads(record)
    return ApiToken(**fields | {"role": Role(fields["role"])})


def _digest(value: bytes) -> str:
    """Values are long and random, so a plain hash hides them."""
    return hashlib.sha256(value).hexdigest()
