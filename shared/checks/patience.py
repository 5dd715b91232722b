"""Checks of patience: whether jobs that can wait can be run for less here."""

from collections.abc import Iterator, Mapping, Sequence

from shared.checks.findings import Finding, ok, warn
from shared.errors import StoreUnavailable
from shared.patience.times import LaneRow, LaneTimes
from shared.providers.base import Provider
from shared.providers.registry import configured_providers
from shared.settings.model import Settings
from shared.settings.patience import PatienceSettings
from shared.store.commands import PooledCommands
from shared.store.connection import connect
from shared.store.errors import StoreConnectionError

CHECK = "patience"


async def check_patience(settings: Settings, environ: Mapping[str, str], url: str | None) -> list[Finding]:
    """Check the lanes of jobs that can wait; nothing is found where no patience is configured.

    Args:
        settings: The effective configuration.
        environ: The environment, which configures providers too.
        url: The store; None or one that does not answer: what was measured is not known.
    """
    if not settings.jobs.patience.model_fields_set:
        return []
    rows = None if url is None else await _rows(url)
    providers = list(configured_providers(settings, environ).values())
    routed = any(len(route.targets) > 1 for route in settings.routes.values())
    return list(judge_patience(settings.jobs.patience, providers, rows, routed=routed))


async def _rows(url: str) -> Sequence[LaneRow] | None:
    try:
        redis = connect(url)
    except ValueError:
        return None  # the check of the store says so
    try:
        return await LaneTimes(PooledCommands(redis)).rows()
    except (StoreConnectionError, StoreUnavailable):
        return None
    finally:
        await redis.aclose()


def judge_patience(
    patience: PatienceSettings, providers: Sequence[Provider], rows: Sequence[LaneRow] | None, *, routed: bool
) -> Iterator[Finding]:
    """Judge the configuration of patience.

    Args:
        patience: The section.
        providers: The configured ones.
        rows: Measured times; None: not known.
        routed: Whether a route has several targets.
    """
    open_to = {
        "flex": [provider.name for provider in providers if provider.flex],
        "batch": [provider.name for provider in providers if provider.batches],
    }
    lanes: frozenset[str] = frozenset(patience.lanes)
    usable = {lane: names for lane, names in open_to.items() if names and lane in lanes}
    if not usable and not (routed and "least_cost" in lanes):
        fix = "set flex or batches of a provider, or add a route with several targets; else every job runs now"
        yield warn(CHECK, "no configured provider has flex or batches, and no route has several targets", fix)
        return
    problems = [*_judge_times(patience, usable, rows), *_judge_spans(patience, usable)]
    yield from problems
    if not patience.deadlines:
        yield ok(CHECK, "deadlines alone are no patience: jobs wait only by header, key, route or default")
    if not problems:
        named = [f"{lane}: {', '.join(names)}" for lane, names in usable.items()]
        yield ok(CHECK, "; ".join(named) or "the cheapest target of a route")


def _judge_times(
    patience: PatienceSettings, usable: Mapping[str, Sequence[str]], rows: Sequence[LaneRow] | None
) -> Iterator[Finding]:
    """Find lanes whose times are neither measured nor assumed: they are never used, and so never measured."""
    assumed = {"flex": patience.assumed_flex_s, "batch": patience.assumed_batch_s}
    for lane in usable:
        measured = rows is None or any(row.lane == lane and row.histogram.total >= patience.min_samples for row in rows)
        if not measured and not assumed[lane]:
            text = f"the lane {lane} is not used: its times are neither measured nor assumed"
            yield warn(CHECK, text, f"set jobs.patience.assumed_{lane}_s")


def _judge_spans(patience: PatienceSettings, usable: Mapping[str, Sequence[str]]) -> Iterator[Finding]:
    """Find configured patience that is over before a batch is sent and a run has its time."""
    waits = [wait for wait in (patience.default_s, *patience.keys.values(), *patience.routes.values()) if wait]
    if not waits or "batch" not in usable:
        return
    shortest = min(waits)
    free_s = shortest - patience.margin_of(shortest) - patience.assumed_now_s
    if patience.gather_s > free_s:
        text = (
            f"jobs are gathered for {patience.gather_s:g} s, but a patience of {shortest:g} s leaves "
            f"{max(0.0, free_s):g} s before they run now"
        )
        yield warn(CHECK, text, "lower jobs.patience.gather_s, or raise the patience: such jobs never use a batch")
