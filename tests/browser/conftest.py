"""A real Chromium before a whole gateway with the simulator; both are shared by all tests of this folder."""

import asyncio
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, StorageState, expect, sync_playwright

from cli.demo.sample import fill
from shared.store.datadir import running_store_url
from tests.browser.acting import Press, by_keyboard, by_mouse
from tests.browser.changes import Api
from tests.chromium import find_chromium
from tests.served import Served, served

expect.set_options(timeout=20_000)  # a busy machine takes long: only that it happens is asserted

ADMIN_KEY = "browser-tests-admin-key-0123456789"
# Five texts; a browser that took one of them for markup or script would change the title.
HOSTILE = (
    "<img/src=x/onerror=document.title=1>",
    "<script>document.title=2</script>",
    "'\"><svg/onload=document.title=3>",
    "javascript:document.title=4",
    "</pre></textarea><iframe/srcdoc='<script>parent.document.title=5</script>'>",
)
CONFIG = """
[cache]
mode = "exact"

[alerts.failures]
metric = "error_rate"
above = 0.9
min_count = 1

[webhooks.orders]
url = "http://127.0.0.1:{port}/"
allow_private_network = true
secret = "whsec_YnJvd3Nlci10ZXN0cy1zZWNyZXQtMDEyMzQ1Njc4OQ=="
"""
AXE = Path(__file__).parents[1] / "sdk_js" / "node_modules" / "axe-core" / "axe.min.js"
ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")


@pytest.fixture(scope="session")
def chromium() -> str:
    """Where Chromium is."""
    found = find_chromium()
    if not found:
        assert "CI" not in os.environ, "install chromium: apt-get install chromium-headless-shell"
        pytest.skip("no Chromium on this machine: install it, or name it in CHROMIUM")
    return found


class Receiver(ThreadingHTTPServer):
    """Takes webhook events."""

    daemon_threads = True

    def __init__(self) -> None:
        class Take(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *args: object) -> None:
                """Say nothing."""

        super().__init__(("127.0.0.1", 0), Take)


def fill_with_sample(running: Served) -> None:
    """Make the data of a demo, and wait for them."""
    store_url = str(running_store_url(running.data_dir))
    with ThreadPoolExecutor(1) as thread:  # Playwright's event loop runs in this one
        assert thread.submit(asyncio.run, fill(running.url, store_url, ADMIN_KEY, webhooks=False)).result()


@contextmanager
def sample_gateway(folder: Path) -> Iterator[Served]:
    """Run a gateway with a month of use, a rule for alerts, a cache and a receiver of events."""
    with Receiver() as receiver:
        threading.Thread(target=receiver.serve_forever, daemon=True).start()
        config = folder / "finops.toml"
        config.write_text(CONFIG.format(port=receiver.server_port))
        environ = {"FINOPS_ADMIN_KEY": ADMIN_KEY, "FINOPS_REQUIRE_VIRTUAL_KEY": "false", "FINOPS_CONFIG": str(config)}
        with served(folder / "data", "--demo", **environ) as running:
            fill_with_sample(running)
            yield running
        receiver.shutdown()


@pytest.fixture(scope="package")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with sample_gateway(tmp_path_factory.mktemp("browser")) as running:
        yield running


@pytest.fixture(scope="package")
def browser(chromium: str) -> Iterator[Browser]:
    """Chromium, of this folder alone: Playwright's event loop runs in the tests' thread until it is closed."""
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium, args=list(ARGUMENTS))
        yield running
        running.close()


@contextmanager
def api_of(running: Served) -> Iterator[Api]:
    """The API of a gateway, as its administrator."""
    headers = {"authorization": f"Bearer {ADMIN_KEY}"}
    with httpx.Client(base_url=running.url, headers=headers, trust_env=False, timeout=20) as client:
        yield Api(client)


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


@pytest.fixture(scope="package")
def session(browser: Browser, gateway: Served) -> StorageState:
    """The cookie of a signed-in administrator."""
    context = browser.new_context()
    Tab(context.new_page(), gateway.url).sign_in()
    state = context.storage_state()
    context.close()
    return state


@pytest.fixture
def tab(browser: Browser, gateway: Served, session: StorageState) -> Iterator[Tab]:
    """A new browser profile, signed in as administrator."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, storage_state=session)
    context.set_default_timeout(20_000)
    opened = Tab(context.new_page(), gateway.url)
    opened.watch()
    yield opened
    context.close()
    assert opened.problems == []


@pytest.fixture(params=[by_mouse, by_keyboard], ids=["mouse", "keyboard"])
def press(request: pytest.FixtureRequest) -> Press:
    """A way to use a button, link or box."""
    chosen: Press = request.param
    return chosen


@pytest.fixture
def api(gateway: Served) -> Iterator[Api]:
    with api_of(gateway) as opened:
        yield opened
