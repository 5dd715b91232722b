"""Configurations that would leave the gateway open to strangers; both tiers of checks, start and doctor, ask here."""

from typing import NamedTuple

from shared.settings.model import Settings

SHORTEST_ADMIN_KEY = 24
FEWEST_LETTERS = 10


class Exposure(NamedTuple):
    """One way in which strangers would get in.

    Attributes:
        problem: What is wrong, without any secret.
        fix: What to do about it.
    """

    problem: str
    fix: str


def weak_admin_key(key: str) -> Exposure | None:
    """Return what is wrong with an admin key that can be guessed; None: nothing."""
    letters = len(set(key))
    if len(key) >= SHORTEST_ADMIN_KEY and letters >= FEWEST_LETTERS:
        return None
    return Exposure(
        f"the admin key can be guessed: {len(key)} characters, {letters} of them different",
        f"use {SHORTEST_ADMIN_KEY} random characters or more, such as the output of `openssl rand -hex 32`",
    )


def open_to_strangers(settings: Settings) -> Exposure | None:
    """Return what is wrong with an address that others reach while nobody needs a key; None: nothing."""
    server, auth = settings.server, settings.auth
    decided = auth.require_virtual_key != "auto" or settings.virtual_keys or server.allow_open
    if not server.is_public or decided:
        return None
    return Exposure(
        f"anyone who reaches {server.host} could use the providers' keys: no virtual key is configured or required",
        "set FINOPS_REQUIRE_VIRTUAL_KEY=true and create keys with `finops keys create`, or configure [virtual_keys]; "
        "to serve everybody, set server.allow_open = true or pass --allow-open",
    )


def exposures(settings: Settings, admin_key: str | None = None) -> list[Exposure]:
    """Return the reasons not to listen at the configured address; empty: there are none.

    A weak admin key is one only where other machines reach the address. ``finops doctor`` reports it in any case.

    Args:
        settings: The effective configuration.
        admin_key: Replaces the configured one.
    """
    configured = settings.auth.admin_key
    key = admin_key or (configured.get_secret_value() if configured else None)
    found = [open_to_strangers(settings)]
    if key and settings.server.is_public:
        found.append(weak_admin_key(key))
    return [exposure for exposure in found if exposure is not None]
