"""How many examples a property is tried with: few at each run, many with `HYPOTHESIS_PROFILE=thorough`."""

import os

from hypothesis import settings

THOROUGH = "thorough"
_PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "here")
IS_THOROUGH = _PROFILE == THOROUGH
_QUICK_SHARE = 8


def load_profile() -> None:
    """Make the named profile the default: `here` (random), `ci` (the same examples each time) or `thorough`."""
    settings.register_profile("here", deadline=None, max_examples=30)
    settings.register_profile("ci", deadline=None, max_examples=30, derandomize=True)
    settings.register_profile(THOROUGH, deadline=None, max_examples=300)
    settings.load_profile(_PROFILE)


def examples(thorough: int) -> settings:
    """Decorate a property that needs a number of its own.

    Args:
        thorough: How many examples a thorough run tries; other runs try an eighth of them.
    """
    return settings(max_examples=thorough if _PROFILE == THOROUGH else thorough // _QUICK_SHARE)
