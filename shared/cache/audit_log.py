"""The evidence of semantic matches in the store: how often their answers agreed with those that came."""

from typing import Any, NamedTuple

from shared.cache import keyspace
from shared.cache.evidence import Evidence, read_evidence
from shared.errors import StoreUnavailable
from shared.store.commands import RedisCommands
from shared.store.errors import StoreConnectionError
from shared.store.scripts import Script

LIFE_S = 30 * 86_400
HALVED_AT = 2_000
"""Comparisons of a family after which all of its counts are halved."""
SCAN_COUNT = 500
MOST_FAMILIES = 1_000


class Family(NamedTuple):
    """Matches whose evidence is counted together.

    Attributes:
        id: ``<scope>-<hash>``: its scope, its model, and the embedding and guards that found the matches.
        scope: Whose answers they are, as administrators name it.
        model: ``provider/model`` that answered.
    """

    id: str
    scope: str
    model: str


class AuditLog:
    """Reads and writes evidence.

    Args:
        commands: The store.
        script: ``audit``.
    """

    def __init__(self, commands: RedisCommands, script: Script) -> None:
        self._commands = commands
        self._script = script

    async def record(self, family: Family, step: int, *, agreed: bool) -> Evidence:
        """Add a comparison; return the evidence with it.

        Args:
            family: Of the match.
            step: Its similarity in hundredths.
            agreed: Whether the answers say the same.

        Raises:
            StoreConnectionError: No answer.
        """
        args = (step, int(agreed), LIFE_S, HALVED_AT, family.model, family.scope)
        return read_evidence(_fields(await self._commands.script(self._script, (keyspace.audit(family.id),), args)))

    async def read(self, family_id: str) -> Evidence:
        """Return the evidence of a family.

        Raises:
            StoreConnectionError: No answer.
        """
        return read_evidence(_fields(await self._commands.execute("HGETALL", keyspace.audit(family_id))))

    async def families(self) -> list[tuple[Family, Evidence]]:
        """Return the families with comparisons of the last 30 days, by scope and model; at most ``MOST_FAMILIES``.

        Raises:
            StoreUnavailable: No answer.
        """
        try:
            return sorted(await self._read_all(), key=lambda each: each[0][1:])
        except StoreConnectionError as error:
            raise StoreUnavailable("The store did not answer: the audits cannot be read. Try again.") from error

    async def _read_all(self) -> list[tuple[Family, Evidence]]:
        found: list[tuple[Family, Evidence]] = []
        cursor: str | bytes = "0"
        while len(found) < MOST_FAMILIES:
            cursor, keys = await self._commands.execute(
                "SCAN", cursor, "MATCH", f"{keyspace.AUDITS}*", "COUNT", SCAN_COUNT, retry_safe=True
            )
            replies = await self._commands.execute_many([("HGETALL", key) for key in keys]) if keys else []
            for key, reply in zip(keys, replies, strict=True):
                fields = _fields(reply)
                family_id = key.decode().removeprefix(keyspace.AUDITS)
                family = Family(family_id, fields.get("scope", ""), fields.get("model", ""))
                found.append((family, read_evidence(fields)))
            if cursor == b"0":
                break
        return found[:MOST_FAMILIES]


def _fields(reply: Any) -> dict[str, str]:  # noqa: ANN401 - names and values in turn
    texts = [value.decode("utf-8", "replace") for value in reply]
    return dict(zip(texts[::2], texts[1::2], strict=True))
