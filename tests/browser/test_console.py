"""The console in a real browser: every page, by mouse and by keyboard, and nothing that it must not do."""

import os
import re
import signal
from urllib.parse import quote

import httpx
import pytest
from playwright.sync_api import Browser, Route, expect

from tests.browser.conftest import AXE, HOSTILE, Tab
from tests.served import Served

pytestmark = [pytest.mark.process, pytest.mark.timeout(180)]

PAGES = (
    "/", "/jobs", "/queue", "/schedules", "/batches", "/spend", "/limits", "/runs", "/keys", "/calls", "/providers",
    "/alerts", "/webhooks", "/cache", "/try", "/audit", "/system",
)  # fmt: skip
WIDTHS = (360, 768, 1440)


def test_every_page_loads_fits_and_is_accessible(tab: Tab) -> None:
    axe = AXE.read_text(encoding="utf-8")
    for path in PAGES:
        page = tab.open(path)
        expect(page.locator("[role=alert]")).to_have_count(0)
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 800})
            # Charts are drawn anew once they know their width.
            page.wait_for_function("(width) => document.documentElement.scrollWidth <= width", arg=width)
        # The policy of the page forbids inline scripts, so the checker runs through the debugger.
        page.evaluate(axe)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            found = page.evaluate("axe.run(document, {resultTypes: ['violations']}).then((r) => r.violations)")
            assert [(path, scheme, one["id"], one["nodes"][0]["html"][:120]) for one in found] == []


@pytest.mark.parametrize(("path", "texts"), [("/jobs?model=sim/", HOSTILE[:3]), ("/calls?model=sim/", HOSTILE[:2])])
def test_texts_of_callers_stay_text(tab: Tab, path: str, texts: tuple[str, ...]) -> None:
    for text in texts:
        page = tab.open(path + quote(text, safe=""))
        expect(page.locator("tbody")).to_contain_text(text)
        assert page.locator("input[aria-label=Model]").input_value() == f"sim/{text}"
        assert page.locator("main :is(img, iframe, script)").count() == 0
        assert page.title().endswith(" · FinOps")


def test_filters_are_in_the_address_and_survive_a_reload(tab: Tab) -> None:
    page = tab.open("/jobs")
    page.select_option("select[aria-label=Status]", "failed")
    expect(page).to_have_url(re.compile("status=failed"))
    page.reload()
    page.wait_for_selector("tbody tr")
    assert set(page.locator("tbody .badge").all_inner_texts()) == {"failed"}


def test_a_stream_appears_as_it_is_written(tab: Tab) -> None:
    page = tab.open("/try")
    page.get_by_label("Model").fill("sim/gpt-4o")
    page.get_by_role("button", name="Stream").click()
    page.get_by_role("button", name="Send").click()
    expect(page.locator("pre[aria-live]")).not_to_be_empty()


def test_a_change_is_seen_without_a_reload(tab: Tab, gateway: Served) -> None:
    page = tab.open("/jobs?model=sim/gpt-4o-mini")
    expect(page.locator("main")).to_contain_text("No jobs match")
    body = {"model": "sim/gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}
    with httpx.Client(base_url=gateway.url, trust_env=False, timeout=20) as client:
        client.post("/v1/async/chat/completions", json=body).raise_for_status()
    expect(page.locator("tbody tr")).to_have_count(1)


def test_a_missing_gateway_is_named_beside_the_last_data(tab: Tab) -> None:
    page = tab.open("/queue")
    page.route("**/api/queue", lambda route: route.abort())
    expect(page.locator("[role=alert]")).to_contain_text("The gateway does not answer. Showing the last data received.")
    page.unroute("**/api/queue")
    expect(page.locator("[role=alert]")).to_have_count(0)
    tab.problems.clear()  # the browser itself reports the request that was cut


def test_a_slow_answer_is_named_and_waited_for(tab: Tab) -> None:
    page = tab.open("/queue")
    held: list[Route] = []
    released: list[bool] = []

    def hold(route: Route) -> None:
        if released:
            route.continue_()
        else:
            held.append(route)

    page.route("**/api/queue", hold)
    expect(page.locator("[role=alert]")).to_contain_text("The gateway takes long to answer.")
    released.append(True)
    for route in held:
        route.continue_()
    expect(page.locator("[role=alert]")).to_have_count(0)


def test_an_outage_of_the_store_is_named(tab: Tab, gateway: Served) -> None:
    page = tab.open("/queue")
    (store,) = gateway.processes("valkey-server")
    os.kill(store, signal.SIGSTOP)
    try:
        expect(page.locator("[role=alert]").first).to_contain_text("The store does not answer.")
        expect(page.locator("[role=alert]").first).to_contain_text("Showing the last data received.")
    finally:
        os.kill(store, signal.SIGCONT)
    expect(page.locator("[role=alert]")).to_have_count(0)
    tab.problems.clear()  # the browser itself reports the 503s


def test_an_ended_session_leads_to_the_sign_in(tab: Tab) -> None:
    page = tab.open("/jobs")
    page.context.clear_cookies()
    expect(page.get_by_role("heading", name="Sign in to FinOps")).to_be_visible()
    tab.problems.clear()  # the browser itself reports the 401


def test_wrong_keys_are_refused_and_signing_out_works(browser: Browser, gateway: Served) -> None:
    context = browser.new_context()
    tab = Tab(context.new_page(), gateway.url)
    tab.page.goto(f"{gateway.url}/ui")
    tab.page.fill("input[name=key]", "wrong")
    tab.page.press("input[name=key]", "Enter")
    expect(tab.page.locator("[role=alert]")).to_contain_text("Neither the admin key nor a virtual key")
    tab.sign_in()
    tab.page.get_by_role("button", name="Sign out").click()
    expect(tab.page.get_by_role("heading", name="Sign in to FinOps")).to_be_visible()
    context.close()


def test_ten_thousand_rows_scroll_smoothly(tab: Tab) -> None:
    """The table draws a window of its rows: filled with the component itself, as a store of as many jobs takes long."""
    page = tab.open("/jobs")
    base = page.locator("script[type=module]").get_attribute("src")
    assert base
    page.evaluate(
        """async (base) => {
            const { html, render } = await import(base + "/app/lib/html.js");
            const { Table } = await import(base + "/app/ui/table.js");
            const root = document.createElement("div");
            document.querySelector("main").append(root);
            const rows = Array.from({ length: 10000 }, (_, at) => ({ id: `row ${at}.` }));
            const columns = [{ title: "Id", cell: (row) => row.id }];
            const keyOf = (row) => row.id;
            render(html`<${Table} label="many" rows=${rows} keyOf=${keyOf} columns=${columns} />`, root);
        }""",
        base.removesuffix("/app/main.js"),
    )
    table = page.get_by_role("region", name="many")
    assert table.locator("tbody tr").count() < 120
    # Scrolled again until the table has heard of it: it listens a moment after it is drawn.
    page.wait_for_function(
        """() => {
            const frame = document.querySelector("[aria-label=many]");
            frame.scrollTop = frame.scrollTop === frame.scrollHeight / 2 ? frame.scrollTop - 1 : frame.scrollHeight / 2;
            return frame.textContent.includes("row 5000.");
        }"""
    )
    assert table.locator("tbody tr").count() < 120
