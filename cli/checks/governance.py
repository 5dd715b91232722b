"""What `finops doctor` looks at in who may call, and what it may spend."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from cli.checks.findings import Finding, fail, ok, warn
from cli.client.admin_key import read_admin_key
from shared.errors import GatewayError
from shared.governance.keys.model import VirtualKey, caller_of_key
from shared.governance.keys.store import MAX_PAGE, VirtualKeyStore
from shared.settings.model import Settings
from shared.store.multiplexed import MultiplexedClient

SHORTEST_ADMIN_KEY = 24
FEWEST_LETTERS = 10
_NAMED = 5


def check_admin_key(settings: Settings, data_dir: Path) -> Finding:
    """Whether there is an admin key, and whether it could be guessed."""
    check = "admin key"
    configured = settings.auth.admin_key
    key = configured.get_secret_value() if configured else read_admin_key(data_dir)
    if not key:
        fix = "set FINOPS_ADMIN_KEY, or let `finops serve` make one; without it /api is closed"
        return warn(check, "none is configured, none is kept", fix)
    if len(key) < SHORTEST_ADMIN_KEY or len(set(key)) < FEWEST_LETTERS:
        fix = f"take {SHORTEST_ADMIN_KEY} random letters or more: `openssl rand -hex 32` makes some"
        return fail(check, f"{len(key)} characters, {len(set(key))} of them different: it can be guessed", fix)
    return ok(check, "long enough")


def check_configured_keys(settings: Settings) -> Iterator[Finding]:
    """Whether the configured virtual keys can be told apart, and from the admin key."""
    admin = settings.auth.admin_key
    values = {name: key.value.get_secret_value() for name, key in settings.virtual_keys.items() if key.value}
    counted = Counter(values.values())
    same = sorted(name for name, value in values.items() if counted[value] > 1)
    if same:
        fix = "give each a value of its own: only the last one counts now"
        yield fail("virtual keys", f"the same value: {_list(same)}", fix)
    if admin is not None and (
        as_admin := [name for name, value in values.items() if value == admin.get_secret_value()]
    ):
        yield fail("virtual keys", f"the admin key is also the value of {_list(as_admin)}", "make another admin key")


async def check_keys(settings: Settings, url: str | None) -> list[Finding]:
    """Whether virtual keys are bound by limits, and whether they live; those made at run time too, if there is a store.

    Args:
        settings: The effective configuration.
        url: The store; None: there is none.
    """
    keys = await _all_keys(settings, url)
    findings = [*check_configured_keys(settings)]
    if not keys:
        return findings or [ok("virtual keys", _nobody(settings))]
    living = [key for key in keys if key.status == "active"]
    findings += _judge_expired(keys)
    findings += _judge_unlimited(living, settings)
    if not settings.auth.require_virtual_key:
        fix = "set auth.require_virtual_key = true: whoever leaves its key out is bound by no key's limits"
        findings.append(warn("virtual keys", "calls without a key are let pass", fix))
    return findings or [ok("virtual keys", f"{len(living)} in force, each with a limit")]


def _nobody(settings: Settings) -> str:
    if settings.auth.require_virtual_key:
        return "none yet, and one is required: make it with `finops keys create`"
    return "none: whoever reaches the gateway may use it"


def _judge_expired(keys: list[VirtualKey]) -> Iterator[Finding]:
    expired = [key.name for key in keys if key.configured and key.status == "expired"]
    if expired:
        fix = "take them out of the file, or give them another expires_at"
        yield warn("virtual keys", f"configured and expired: {_list(expired)}", fix)


def _judge_unlimited(keys: list[VirtualKey], settings: Settings) -> Iterator[Finding]:
    free = [key.name for key in keys if not caller_of_key(key, settings).limits]
    if free:
        fix = "give them a budget or a rate limit, or one to their team or customer"
        yield warn("virtual keys", f"without any limit: {_list(free)}", fix)


async def _all_keys(settings: Settings, url: str | None) -> list[VirtualKey]:
    configured = [
        VirtualKey(id=name, name=name, settings=key, configured=True) for name, key in settings.virtual_keys.items()
    ]
    if url is None:
        return configured
    try:
        commands = MultiplexedClient(url, client_name="finops-doctor")
    except ValueError:  # told by the check of the store
        return configured
    try:
        return (await VirtualKeyStore(commands, settings).list(limit=MAX_PAGE))[0]
    except GatewayError:
        return configured
    finally:
        await commands.aclose()


def _list(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
