"""Checks of the admin key and of virtual keys."""

from collections import Counter
from collections.abc import Iterator

from shared.checks.findings import Finding, fail, ok, warn
from shared.errors import GatewayError
from shared.governance.keys.model import VirtualKey, caller_of_key
from shared.governance.keys.store import MAX_PAGE, VirtualKeyStore
from shared.providers.registry import rows_of
from shared.settings.exposure import open_to_strangers, weak_admin_key
from shared.settings.model import Settings
from shared.settings.prices import PriceSettings
from shared.store.multiplexed import MultiplexedClient

_NAMED = 5


def check_admin_key(settings: Settings, stored: str | None) -> Finding:
    """Check that there is an admin key, and that it cannot be guessed.

    Args:
        settings: The effective configuration.
        stored: The key that is used if none is configured; None or empty: there is none.
    """
    check = "admin key"
    configured = settings.auth.admin_key
    key = configured.get_secret_value() if configured else stored
    if not key:
        fix = "set FINOPS_ADMIN_KEY, or let `finops serve` create one; without it nobody can use /api"
        return warn(check, "none is configured, none is stored", fix)
    weak = weak_admin_key(key)
    return fail(check, *weak) if weak is not None else ok(check, "long enough")


def check_address(settings: Settings) -> Finding:
    """Check that strangers cannot use the providers' keys at the configured address."""
    check, server = "address", settings.server
    exposed = open_to_strangers(settings)
    if exposed is not None:
        return fail(check, *exposed)
    if server.is_public and not server.guards_metrics:
        return warn(check, f"{server.host} serves /metrics without a key", "remove server.metrics_auth = false")
    reach = "is reachable from other machines" if server.is_public else "is reachable from this machine alone"
    return ok(check, f"{server.host} {reach}")


def check_configured_keys(settings: Settings) -> Iterator[Finding]:
    """Check that configured virtual keys differ from each other and from the admin key."""
    admin = settings.auth.admin_key
    values = {name: key.value.get_secret_value() for name, key in settings.virtual_keys.items() if key.value}
    counted = Counter(values.values())
    duplicates = sorted(name for name, value in values.items() if counted[value] > 1)
    if duplicates:
        fix = "give each a value of its own: only the last of them works"
        yield fail("virtual keys", f"the same value: {_list(duplicates)}", fix)
    if admin is not None and (
        as_admin := [name for name, value in values.items() if value == admin.get_secret_value()]
    ):
        yield fail("virtual keys", f"the admin key is also the value of {_list(as_admin)}", "choose another admin key")


async def check_keys(settings: Settings, url: str | None) -> list[Finding]:
    """Check that virtual keys have limits and have not expired, including those in the store if there is one.

    Args:
        settings: The effective configuration.
        url: URL of the store; None without one.
    """
    keys = await _all_keys(settings, url)
    findings = [*check_configured_keys(settings)]
    if not keys:
        return findings or [ok("virtual keys", _describe_no_keys(settings))]
    active = [key for key in keys if key.status == "active"]
    findings += _judge_expired(keys)
    findings += _judge_unlimited(active, settings)
    findings += _judge_named_by_callers(active, settings)
    findings += _judge_passed_budgets(active, settings)
    if settings.auth.require_virtual_key is False:
        fix = 'set auth.require_virtual_key = "auto": calls without a key are not bound by any limit'
        findings.append(warn("virtual keys", "calls without a key are accepted", fix))
    return findings or [ok("virtual keys", f"{len(active)} active, each with a limit")]


def _describe_no_keys(settings: Settings) -> str:
    if settings.auth.require_virtual_key is True:
        return "none yet, and one is required: create it with `finops keys create`"
    return "none: anyone who can reach the gateway may use it"


def _judge_expired(keys: list[VirtualKey]) -> Iterator[Finding]:
    expired = [key.name for key in keys if key.configured and key.status == "expired"]
    if expired:
        fix = "remove them from the file, or change their expires_at"
        yield warn("virtual keys", f"configured and expired: {_list(expired)}", fix)


def _judge_unlimited(keys: list[VirtualKey], settings: Settings) -> Iterator[Finding]:
    unlimited = [key.name for key in keys if not caller_of_key(key, settings).limits]
    if unlimited:
        fix = "give them, their team or their customer a budget or a rate limit"
        yield warn("virtual keys", f"without any limit: {_list(unlimited)}", fix)


def _judge_named_by_callers(keys: list[VirtualKey], settings: Settings) -> Iterator[Finding]:
    """Find keys that pass a limit of each value by leaving the value out, and have no limits of their own."""
    unlimited = [key for key in keys if not caller_of_key(key, settings).limits]
    for name in settings.limits:
        dimension = name.partition(":")[2]
        passing = [key.name for key in unlimited if not dimension or dimension not in key.settings.dimensions]
        if passing:
            own = "give them a budget too" if not dimension else f"fix the dimension {dimension!r} in them"
            fix = f"{own}: a call that names no {dimension or 'user'} is not bound by it"
            yield warn("limits", f"[limits.{name}] is the only limit of {_list(passing)}, whose callers name it", fix)


def _judge_passed_budgets(keys: list[VirtualKey], settings: Settings) -> Iterator[Finding]:
    """Find budgets that calls can pass: without a key, without a price, or at a price of nothing."""
    budgets = [key.name for key in keys if any(limit.is_budget for limit in caller_of_key(key, settings).limits)]
    budgets += [f"provider {name}" for name, provider in settings.providers.items() if provider.all_budgets]
    budgets += [f"model {name}" for name, model in settings.models.items() if model.all_budgets]
    if not budgets:
        return
    if settings.ledger.unpriced == "allow":
        fix = 'remove ledger.unpriced = "allow"; `finops prices check` names what then needs a price'
        yield warn("budgets", f"calls without a known price pass the budgets of {_list(budgets)}", fix)
    free = [pattern for pattern, price in settings.prices.items() if _is_free(pattern, price, settings)]
    if free:
        fix = "set their prices in [prices]; what is really free needs none if its provider is a local server"
        yield warn("budgets", f"models at a price of 0 pass the budgets of {_list(budgets)}: {_list(free)}", fix)


def _is_free(pattern: str, price: PriceSettings, settings: Settings) -> bool:
    """Whether a row of ``[prices]`` makes the models of a provider free that is not declared so."""
    row = rows_of(settings).get(pattern.partition("/")[0])
    rates = [rate for name in ("input", "output", "request") if (rate := getattr(price, name)) is not None]
    return not (row and row.free) and (price.discount >= 1 or (bool(rates) and not any(rates)))


async def _all_keys(settings: Settings, url: str | None) -> list[VirtualKey]:
    configured = [
        VirtualKey(id=name, name=name, settings=key, configured=True) for name, key in settings.virtual_keys.items()
    ]
    if url is None:
        return configured
    try:
        commands = MultiplexedClient(url, client_name="finops-doctor")
    except ValueError:  # reported by the check of the store
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
