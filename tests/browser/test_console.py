"""The console in a real browser: every page, by mouse and by keyboard, and nothing that it must not do."""

import asyncio
import os
import re
import signal
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs, quote, urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, Route, expect

from shared.cache.audit_log import AuditLog, Family
from shared.cache.store import cache_scripts
from shared.store.datadir import running_store_url
from shared.store.multiplexed import MultiplexedClient
from tests.browser.conftest import ADMIN_KEY, AXE, HOSTILE, Tab
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


def test_hostile_texts_stay_text_on_every_page(tab: Tab, gateway: Served) -> None:
    """Five texts as label, model, error, team, schedule and URL of a webhook, on each page; keys refuse such names."""
    jobs = {text: _use_as_everything(gateway, text) for text in HOSTILE}
    for path in ("/keys", "/spend", "/spend?group_by=model", "/spend?group_by=dimension:app", "/schedules"):
        _expect_text(tab, path, HOSTILE)
    _expect_text(tab, "/", [f"@status={text}" for text in HOSTILE])
    _expect_text(tab, "/audit", [_in_json(text) for text in HOSTILE])
    for text, job_id in jobs.items():
        _expect_text(tab, f"/jobs?label=app:{quote(text, safe='')}", [f"@status={text}", f"app: {text}"])
        _expect_text(tab, f"/calls?model={quote(f'sim/gpt-4o@status={text}', safe='')}", [f"@status={text}", text])
        _expect_text(tab, f"/jobs/{job_id}", [f"@status={text}", text, _in_json(text), f"https://127.0.0.1:9/{text}"])
        _expect_text(tab, f"/webhooks?job={job_id}", [f"https://127.0.0.1:9/{text}"])
        tab.page.locator("tbody button").click()
        expect(tab.page.locator("dialog")).to_contain_text(f"https://127.0.0.1:9/{text}")
        _expect_no_markup(tab)


def _use_as_everything(gateway: Served, text: str) -> str:
    """Make a key, a schedule and a job that fails, each with the text wherever a caller writes one; the job's id."""
    model = f"sim/gpt-4o@status={text}"  # the simulator refuses it with the text in its message
    body = {"model": model, "messages": [{"role": "user", "content": text}]}
    admin = {"authorization": f"Bearer {ADMIN_KEY}"}
    with httpx.Client(base_url=gateway.url, trust_env=False, timeout=20) as client:
        key = {"name": "hostile", "team": text, "budget": {"limit_usd": 1, "window": "1d"}}
        assert client.post("/api/keys", json={**key, "name": text}, headers=admin).status_code == 400
        made = client.post("/api/keys", json=key, headers=admin).raise_for_status().json()
        dimension = {"x-bf-vk": made["value"], "x-bf-dim-app": text}
        request = {"type": "chat.completions", "body": {**body, "model": "sim/gpt-4o"}}
        schedule = {"name": text, "every_s": 3600, "request": request}
        answer = client.post("/v1/async/schedules", json=schedule, headers=dimension)
        assert answer.is_success, answer.text
        headers = {**dimension, "x-bf-async-webhook": f"https://127.0.0.1:9/{text}"}
        job = client.post("/v1/async/chat/completions", json=body, headers=headers).raise_for_status().json()
    return str(job["id"])


def _in_json(text: str) -> str:
    """The end of the text, which JSON leaves as it is."""
    return text.rpartition('"')[2]


def _expect_text(tab: Tab, path: str, texts: Sequence[str]) -> None:
    page = tab.open(path)
    for text in texts:
        expect(page.locator("main")).to_contain_text(text)
    _expect_no_markup(tab)


def _expect_no_markup(tab: Tab) -> None:
    assert tab.page.locator("main :is(img, iframe, script, [onload], [onerror])").count() == 0
    assert tab.page.title().endswith(" · FinOps")


def test_filters_are_in_the_address_and_survive_a_reload(tab: Tab) -> None:
    page = tab.open("/jobs")
    page.select_option("select[aria-label=Status]", "failed")
    expect(page).to_have_url(re.compile("status=failed"))
    page.reload()
    page.wait_for_selector("tbody tr")
    assert set(page.locator("tbody .badge").all_inner_texts()) == {"failed"}


def test_the_cache_shows_how_far_semantic_matches_can_be_trusted(tab: Tab, gateway: Served) -> None:
    async def compare() -> None:
        commands = MultiplexedClient(str(running_store_url(gateway.data_dir)))
        audits = AuditLog(commands, cache_scripts()["audit"])
        for model, steps in (("sim/right", (86, *[93] * 299)), ("sim/wrong", (93,))):
            for step in steps:
                family = Family(f"0-{model}", "team:search", model)
                await audits.record(family, step, agreed=model == "sim/right" and step == 93)
        await commands.aclose()

    with ThreadPoolExecutor(1) as thread:  # Playwright's event loop runs in this one
        thread.submit(asyncio.run, compare()).result()
    rows = tab.open("/cache").get_by_role("region", name="Semantic matches").locator("tbody tr")
    expect(rows.nth(0).locator("td")).to_have_text(
        ["team:search", "sim/right", "shadow", "300", "1", "1.6 %", "299 calls"]
    )
    expect(rows.nth(1).locator("td")).to_have_text(["team:search", "sim/wrong", "shadow", "1", "1", "100 %", "0 calls"])


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


def test_spend_and_limits_follow_a_call(tab: Tab, gateway: Served) -> None:
    admin = {"authorization": f"Bearer {ADMIN_KEY}"}
    with httpx.Client(base_url=gateway.url, trust_env=False, timeout=20) as client:

        def use(key: str) -> None:
            body = {"model": "sim/gpt-4o", "messages": [{"role": "user", "content": "hello"}]}
            client.post("/v1/chat/completions", json=body, headers={"x-bf-vk": key}).raise_for_status()

        def make(name: str) -> str:
            settings = {"name": name, "team": name, "rate_limit": {"requests": 50, "window": "1d"}}
            return str(client.post("/api/keys", json=settings, headers=admin).raise_for_status().json()["value"])

        key = make("spender")
        page = tab.open("/limits")
        row = page.get_by_role("region", name="Limits").locator("tbody tr", has_text="spender").locator("td.right")
        expect(row.first).to_have_text("0")
        use(key)
        expect(row.first).to_have_text("1")
        page = tab.open("/spend")
        row = page.get_by_role("region", name="Spend by group").locator("tbody tr", has_text="spender").locator("td")
        expect(row.nth(3)).to_have_text("1")
        use(key)
        expect(row.nth(3)).to_have_text("2")


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


ROWS_IN_WINDOW = 37  # 17 of a view of 900 px, and 20 around them
DRAW = """async (base) => {
    const { html, render } = await import(base + "/app/lib/html.js");
    const { Table } = await import(base + "/app/ui/table.js");
    const root = document.createElement("div");
    document.body.append(root);
    const rows = Array.from({ length: 10000 }, (_, at) => ({ id: `row ${at}.` }));
    window.drawn = new Map();
    const cell = (row) => (drawn.set(row.id, (drawn.get(row.id) ?? 0) + 1), row.id);
    render(html`<${Table} label="many" rows=${rows} columns=${[{ title: "Id", cell }]} />`, root);
    window.most = 0;
    const count = () => (most = Math.max(most, root.querySelectorAll("tbody tr:not([aria-hidden])").length));
    new MutationObserver(count).observe(root, { childList: true, subtree: true });
    count();
}"""
# Scrolled again until the table has heard of it: it listens a moment after it is drawn.
SCROLLED = """(rows) => {
    const frame = document.querySelector("[aria-label=many]");
    const top = 36 * rows;
    frame.scrollTop = frame.scrollTop === top ? top - 1 : top;
    return frame.textContent.includes(`row ${rows}.`);
}"""


def test_ten_thousand_rows_draw_a_window_only(tab: Tab) -> None:
    """Filled with the component itself, as a store of as many jobs takes long; `bench.console` has the times."""
    page = tab.open("/audit")
    base = page.locator("script[type=module]").get_attribute("src")
    assert base
    page.evaluate(DRAW, base.removesuffix("/app/main.js"))
    for row in (7, 20, 33, 46, 5000, 9990, 5000, 0):
        page.wait_for_function(SCROLLED, arg=row)
    assert page.evaluate("most") <= ROWS_IN_WINDOW
    height = page.evaluate("document.querySelector('[aria-label=many] tbody').offsetHeight")
    assert abs(height - 10_000 * 36) <= 1  # a line below the head
    # Rows that stay in view are not drawn again: one scroll by 13 rows draws no row twice.
    page.evaluate("drawn.clear()")
    page.wait_for_function(SCROLLED, arg=13)
    assert page.evaluate("Math.max(0, ...drawn.values())") <= 1


def test_a_long_list_is_read_page_by_page_as_it_is_scrolled(tab: Tab) -> None:
    job = {"status": "completed", "model": "sim/gpt-4o", "request_type": "chat.completions", "attempts": 1}
    asked: list[str] = []

    def answer(route: Route) -> None:
        after = parse_qs(urlsplit(route.request.url).query).get("after", ["0"])[0]
        if after != "0":
            asked.append(after)
        ids = range(int(after) + 1, int(after) + 101)
        jobs = [{**job, "id": str(number), "created_at": "2026-01-01T00:00:00Z"} for number in ids]
        route.fulfill(json={"data": jobs, "has_more": ids[-1] < 400, "last_id": str(ids[-1])})

    page = tab.page
    page.route("**/api/jobs?*", answer)
    tab.open("/jobs")
    page.wait_for_function(
        """() => {
            const frame = document.querySelector("[aria-label=Jobs]");
            const end = frame.scrollHeight - frame.clientHeight;
            frame.scrollTop = frame.scrollTop + 240 > end ? 0 : frame.scrollTop + 240;
            const foot = document.querySelector(".table-foot");
            return foot.textContent.includes("400 jobs") && !foot.querySelector("button");
        }"""
    )
    assert asked == ["100", "200", "300"]
    assert page.locator("tbody tr:not([aria-hidden])").count() <= ROWS_IN_WINDOW
