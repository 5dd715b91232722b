"""Checks of limits that are turned off, that contradict each other, or that the machine does not allow."""

import ipaddress
import resource
from collections.abc import Iterator
from urllib.parse import urlsplit

from shared.checks.findings import Finding, ok, warn
from shared.providers.base import Provider
from shared.settings.model import Settings

WIDEST_PROXIES = {4: 8, 6: 16}
"""Of the networks that may be all proxies of somebody, by IP version: 10.0.0.0/8 is the largest private one."""
_NAMED = 5


def check_limits(settings: Settings) -> list[Finding]:
    """Check the limits of requests, answers, deliveries and keys against each other and against this machine."""
    problems = [
        *_judge_bodies(settings),
        *_judge_connections(settings),
        *_judge_proxies(settings),
        *_judge_deliveries(settings),
        *_judge_keys(settings),
    ]
    return problems or [ok("limits", "none contradicts another")]


def _judge_bodies(settings: Settings) -> Iterator[Finding]:
    server, jobs = settings.server, settings.jobs
    if server.max_body_mb > server.max_inflight_mb:
        yield warn(
            "limits",
            f"server.max_body_mb is {server.max_body_mb:g}, server.max_inflight_mb only {server.max_inflight_mb}",
            "raise server.max_inflight_mb: a larger body is refused with 503, however often it is sent",
        )
    if server.max_answer_mb > server.max_answers_mb:
        yield warn(
            "limits",
            f"server.max_answer_mb is {server.max_answer_mb:g}, server.max_answers_mb only {server.max_answers_mb:g}",
            "raise server.max_answers_mb: a larger answer is 503, however often it is asked for",
        )
    if jobs.max_result_mb < server.max_answer_mb:
        yield ok("limits", f"answers above {jobs.max_result_mb:g} MiB reach direct callers and fail jobs")
    if settings.files.max_mb > settings.files.max_stored_mb_per_key:
        yield warn(
            "limits",
            f"files.max_mb is {settings.files.max_mb:g}, files.max_stored_mb_per_key "
            f"only {settings.files.max_stored_mb_per_key:g}",
            "raise files.max_stored_mb_per_key: a larger file is refused after its upload",
        )


def _judge_connections(settings: Settings) -> Iterator[Finding]:
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = settings.server.max_connections
    if most != resource.RLIM_INFINITY and most < wanted:
        yield warn(
            "limits",
            f"server.max_connections is {wanted}, but a process here may open {most} files",
            f"ulimit -n {2 * wanted} (systemd: LimitNOFILE), or lower it: without free files nothing is accepted",
        )


def _judge_proxies(settings: Settings) -> Iterator[Finding]:
    networks = [ipaddress.ip_network(name, strict=False) for name in settings.server.trusted_proxies]
    wide = [str(network) for network in networks if network.prefixlen < WIDEST_PROXIES[network.version]]
    if wide:
        yield warn(
            "limits",
            f"server.trusted_proxies has {_list(wide)}: callers can choose the address that they are counted by",
            "name the proxies alone: X-Forwarded-For is believed from every address in it",
        )


def _judge_deliveries(settings: Settings) -> Iterator[Finding]:
    if settings.server.allow_private_network:
        yield warn(
            "webhooks",
            "server.allow_private_network lets every caller have private addresses called, metadata services too",
            "remove it, and set webhooks.<name>.allow_private_network for receivers of your own",
        )
    plain = [name for name, webhook in settings.webhooks.items() if _is_plain(webhook.url)]
    if plain:
        yield warn("webhooks", f"events cross the network in clear: {_list(plain)}", "use https:// in their url")


def _judge_keys(settings: Settings) -> Iterator[Finding]:
    account = [name for name, key in settings.virtual_keys.items() if key.passthrough == "account"]
    if account:
        fix = 'remove passthrough = "account" from keys of callers: it is for administrators of the account'
        yield warn("virtual keys", f"reach every object in the providers' accounts: {_list(account)}", fix)
    admin, token = settings.auth.admin_key, settings.auth.monitoring_token
    if admin is not None and token is not None and admin.get_secret_value() == token.get_secret_value():
        fix = "choose another auth.monitoring_token: whoever scrapes metrics could administer the gateway"
        yield warn("admin key", "it is the monitoring token too", fix)


def judge_wire(provider: Provider) -> Iterator[Finding]:
    """Check that a provider's keys and prompts do not cross a network in clear."""
    name = f"provider {provider.name}"
    if provider.keys and _is_plain(provider.base_url):
        yield warn(name, f"{provider.base_url}: its key crosses the network in clear", "use https:// in its base_url")


def _is_plain(url: str) -> bool:
    """Whether a URL is http, and of another machine than this one."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme != "http" or host == "localhost" or host.endswith(".localhost"):
        return False
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return "." in host  # a single name is a service in the same cluster


def _list(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
