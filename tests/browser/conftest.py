"""A real Chromium before a whole gateway with the simulator; both are shared by all tests of this folder."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.served import Served, served

ADMIN_KEY = "browser-tests-admin-key-0123456789"
HOSTILE = "<img/src=x/onerror=document.title=1>"
MODELS = ("openai/gpt-4o", "anthropic/claude-sonnet-4-5", "sim/gpt-4o@status=400", f"sim/{HOSTILE}")
AXE = Path(__file__).parents[1] / "sdk_js" / "node_modules" / "axe-core" / "axe.min.js"
ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")


@pytest.fixture(scope="session")
def chromium() -> str:
    """Where Chromium is; Debian's package is called so."""
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if not found:
        assert "CI" not in os.environ, "install chromium: apt-get install chromium"
        pytest.skip("no Chromium on this machine: install it, or name it in CHROMIUM")
    return found


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A gateway that has seen some calls, jobs and a key."""
    folder = tmp_path_factory.mktemp("browser") / "data"
    with served(folder, "--demo", FINOPS_ADMIN_KEY=ADMIN_KEY, FINOPS_REQUIRE_VIRTUAL_KEY="false") as running:
        _use(running.url)
        yield running


def _use(url: str) -> None:
    admin = {"authorization": f"Bearer {ADMIN_KEY}"}
    with httpx.Client(base_url=url, timeout=30, trust_env=False) as client:
        made = client.post(
            "/api/keys",
            headers=admin,
            json={"name": "support", "team": "care", "budget": {"limit_usd": 5, "window": "1d"}},
        )
        key = made.json()["value"]
        for model in MODELS:
            body = {"model": model, "messages": [{"role": "user", "content": "hello"}]}
            client.post("/openai/v1/chat/completions", headers={"x-bf-vk": key}, json=body)
            client.post("/openai/v1/chat/completions", headers={"x-bf-vk": key, "x-bf-async": "true"}, json=body)


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    """Chromium, of this module alone: Playwright's event loop runs in the tests' thread until it is closed."""
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium, args=list(ARGUMENTS))
        yield running
        running.close()


@dataclass
class Tab:
    """A page of the console, and what it did that it should not do."""

    page: Page
    url: str
    problems: list[str] = field(default_factory=list)

    def watch(self) -> None:
        self.page.on("pageerror", lambda error: self.problems.append(f"error: {error}"))
        self.page.on("console", lambda message: self.problems.append(message.text) if message.type == "error" else None)
        self.page.on("request", lambda request: self._check(request.url))

    def _check(self, url: str) -> None:
        if not url.startswith((self.url, "data:", "blob:")):
            self.problems.append(f"foreign request: {url}")

    def open(self, path: str) -> Page:
        """Open a page of the console and wait until it has its data."""
        self.page.goto(f"{self.url}/ui{path}")
        self.page.wait_for_selector("main h1")
        self.page.wait_for_selector("[aria-busy=true]", state="detached")
        return self.page

    def sign_in(self, key: str = ADMIN_KEY) -> None:
        self.page.goto(f"{self.url}/ui")
        self.page.fill("input[name=key]", key)
        self.page.press("input[name=key]", "Enter")
        self.page.wait_for_selector("nav[aria-label=Pages]")


@pytest.fixture
def tab(browser: Browser, gateway: Served) -> Iterator[Tab]:
    """A new browser profile, signed in as administrator."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    context.set_default_timeout(20_000)
    opened = Tab(context.new_page(), gateway.url)
    opened.watch()
    opened.sign_in()
    yield opened
    context.close()
    assert opened.problems == []
