"""Pictures of every page of the console, light and dark, from a demo's data; ``make screenshots``."""

import argparse
import os
import shutil
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.conftest import ADMIN_KEY, ARGUMENTS
from tests.served import Served, served
from tests.waiting import wait_until_sync

SHOWN = Path(__file__).parents[2] / "docs" / "images"
"""The three pictures of the documentation."""
PUBLISHED = {"overview": "light", "jobs": "dark", "spend": "light"}
PAGES = {
    "overview": "/", "jobs": "/jobs", "job": "", "queue": "/queue", "schedules": "/schedules", "batches": "/batches",
    "spend": "/spend", "limits": "/limits", "runs": "/runs", "keys": "/keys", "calls": "/calls",
    "providers": "/providers", "cache": "/cache", "alerts": "/alerts", "webhooks": "/webhooks", "try": "/try",
    "audit": "/audit", "system": "/system",
}  # fmt: skip
SIZE = {"width": 1440, "height": 900}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(".screenshots"), help="where all pictures go")
    parser.add_argument("--only", nargs="*", default=list(PAGES), choices=list(PAGES), help="pages")
    parser.add_argument("--publish", action="store_true", help="also renew those of the documentation")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        demo = served(Path(folder) / "data", "--demo", "--sample-data", FINOPS_ADMIN_KEY=ADMIN_KEY)
        with demo as gateway, sync_playwright() as playwright:
            wait_until_sync(lambda: "sample data are in place" in gateway.log, 60)
            chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
            browser = playwright.chromium.launch(executable_path=chromium, args=list(ARGUMENTS))
            take(browser, gateway, arguments.folder, arguments.only, publish=arguments.publish)
            browser.close()


def take(browser: Browser, gateway: Served, folder: Path, names: list[str], *, publish: bool) -> None:
    """Take the pictures of the named pages in both schemes."""
    folder.mkdir(parents=True, exist_ok=True)
    page = browser.new_context(viewport=SIZE, device_scale_factor=1, timezone_id="UTC").new_page()  # type: ignore[arg-type]
    page.goto(f"{gateway.url}/ui")
    page.fill("input[name=key]", ADMIN_KEY)
    page.press("input[name=key]", "Enter")
    page.wait_for_selector("nav[aria-label=Pages]")
    for name in names:
        page.goto(gateway.url + "/ui" + (PAGES[name] or _a_job(page, gateway)))
        page.wait_for_selector("main h1")
        page.wait_for_selector("[aria-busy=true]", state="detached")
        page.wait_for_timeout(400)  # charts and second requests
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            page.wait_for_timeout(100)
            path = folder / f"{name}-{scheme}.png"
            page.screenshot(path=path)
            if publish and PUBLISHED.get(name) == scheme:
                SHOWN.mkdir(exist_ok=True)
                shutil.copy(path, SHOWN / f"console-{name}.png")


def _a_job(page: Page, gateway: Served) -> str:
    """The path of a completed job."""
    page.goto(f"{gateway.url}/ui/jobs?status=completed&model=anthropic/claude-sonnet-4-5")
    page.wait_for_selector("tbody tr a")
    return str(page.locator("tbody tr a").first.get_attribute("href")).removeprefix("/ui")


if __name__ == "__main__":
    main()
