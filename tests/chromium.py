"""Finds the browser of the tests."""

import os
import shutil

# The shell has no windows and takes two thirds of the CPU; Debian has a package of it.
_NAMES = ("chromium-headless-shell", "chromium", "chromium-browser")


def find_chromium() -> str | None:
    """Return the path of Chromium, or what `CHROMIUM` names; None: there is none."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)
