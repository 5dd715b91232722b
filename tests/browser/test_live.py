"""Pages follow the gateway, and lists, copies and repeats work by mouse and by keyboard."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect

from tests.browser.acting import Press, button
from tests.browser.changes import Api, Change, prepare_changes
from tests.browser.conftest import Tab
from tests.served import Served
from tests.waiting import wait_until_sync

# As a link of the console does: without loading it anew.
GO = "(path) => { history.pushState(null, '', path); dispatchEvent(new PopStateEvent('popstate')); }"
MORE_THAN_50 = re.compile(r"^(5[1-9]|[6-9]\d|1\d\d) calls")
pytestmark = [pytest.mark.process, pytest.mark.timeout(180)]


@pytest.mark.timeout(400)  # sixteen pages, each until its next poll
def test_a_change_is_seen_on_every_live_page(tab: Tab, api: Api) -> None:
    """Four tabs at a time. How soon it is seen is measured by `bench.console --changes`."""
    tabs = [tab, *(Tab(tab.page.context.new_page(), tab.url) for _ in range(3))]
    pages = [one.open("/audit") for one in tabs]
    changes = prepare_changes(api)
    while group := list(zip(pages, changes, strict=False)):
        finds = [follow(page, title, change) for page, (title, change) in group]
        found = [find(change.make()) for find, (_, (_, change)) in zip(finds, group, strict=True)]
        for locator, (_, (title, change)) in zip(found, group, strict=True):
            expect(locator.first, f"the change is seen on {title}").to_be_visible()
            change.undo()


def follow(page: Page, title: str, change: Change) -> Callable[[Any], Locator]:
    """Go to the page of a change, and look at it until the change is made."""
    page.evaluate(GO, f"/ui{change.path}")
    expect(page.get_by_role("heading", name=title, exact=True)).to_be_visible()
    expect(page.locator("[aria-busy=true]")).to_have_count(0)
    return change.watch(page)


def test_a_virtual_key_sees_what_is_its_own(browser: Browser, gateway: Served, api: Api) -> None:
    key = api.make_key("own-limits")["value"]
    tab = Tab(browser.new_context().new_page(), gateway.url)
    tab.watch()
    tab.sign_in(key)
    titles = tab.page.locator("nav[aria-label=Pages] a").all_inner_texts()
    assert titles == ["My spend", "Jobs", "Schedules", "Batches", "Try it"]
    for path in ("/jobs", "/schedules", "/batches", "/try", "/"):
        page = tab.open(path)
        expect(page.locator("[role=alert]")).to_have_count(0)
    row = page.get_by_role("region", name="Limits").locator("tbody tr", has_text="requests per 1d")
    used = row.locator("td").nth(3)
    before = used.inner_text()  # the list of batches, which is asked of the providers too, is a request of the key
    api.complete("own", key)
    expect(used).not_to_have_text(before)
    expect(row.locator("td").first).to_have_text("this key")
    tab.page.goto(f"{gateway.url}/ui/keys")
    expect(page.locator("main")).to_contain_text("There is no such page")
    tab.page.context.close()
    assert tab.problems == []


def test_lists_are_filtered_and_read_on(tab: Tab, api: Api, press: Press) -> None:
    page = tab.open("/")
    press(page.get_by_role("link", name="Details"))
    expect(page.get_by_role("heading", name="Providers", exact=True)).to_be_focused()
    page.go_back()
    press(page.get_by_role("link", name="All failed jobs"))
    expect(page).to_have_url(re.compile("jobs.status=failed"))
    press(page.get_by_role("link", name="Submit a job"))
    expect(page.get_by_role("heading", name="Try it")).to_be_focused()
    page.get_by_role("link", name="Skip to content").press("Enter")
    expect(page).to_have_url(re.compile("#content"))
    wait_until_sync(lambda: len(api.get("/api/logs?limit=60")["data"]) == 60)
    page = tab.open("/calls")
    foot = page.locator(".table-foot")
    expect(foot).to_contain_text("50 calls loaded")
    press(button(foot, "Load more"))
    expect(foot).to_contain_text(MORE_THAN_50)
    press(page.get_by_role("link", name="Jobs", exact=True))
    expect(page.get_by_role("heading", name="Jobs", exact=True)).to_be_focused()
    press(button(page, "More filters"))
    page.get_by_label("Error code").fill("no_such_code")
    page.get_by_label("Error code").press("Enter")
    expect(page).to_have_url(re.compile("code=no_such_code"))
    expect(page.locator("main")).to_contain_text("No jobs match")
    press(button(page, "Clear"))
    expect(page.locator("tbody tr").first).to_be_visible()
    expect(page).not_to_have_url(re.compile("code="))
    press(page.get_by_role("link", name="Cache", exact=True))
    press(button(page, "Month"))
    expect(page).to_have_url(re.compile("days=30"))
    press(page.get_by_role("link", name="Audit", exact=True))
    page.get_by_label("Target").fill("no-such-target")
    page.get_by_label("Target").press("Enter")
    expect(page.locator("main")).to_contain_text("Nothing was changed")


def clipboard(page: Page) -> str:
    return str(page.evaluate("navigator.clipboard.readText()"))


def test_what_is_copied_is_what_is_shown(tab: Tab, api: Api, press: Press) -> None:
    tab.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    job = api.submit("sim/gpt-4o")
    wait_until_sync(lambda: api.get(f"/api/jobs/{job}")["status"] == "completed")
    page = tab.open(f"/jobs/{job}")
    press(button(page, "Copy id"))
    expect(button(page, "Copied")).to_be_visible()
    assert clipboard(page) == job
    for title in ("Result", "Poll from code"):
        card = page.locator(".card", has=page.get_by_role("heading", name=title, exact=True))
        press(button(card, "Copy"))
        expect(button(card, "Copied")).to_be_visible()
        assert clipboard(page) == card.locator("pre").inner_text()
    page = tab.open("/keys")
    press(button(page, "Create key"))
    page.locator("dialog").get_by_label("Name").fill(f"copied {press.__name__}")
    press(button(page.locator("dialog"), "Create key"))
    press(button(page.locator("dialog"), "Copy"))
    expect(button(page, "Copied")).to_be_visible()
    api.complete(key=clipboard(page))  # a call with the copied value
    page = tab.open("/webhooks")
    press(button(page, "Signing secret"))
    press(button(page.locator("dialog"), "Copy"))
    expect(button(page, "Copied")).to_be_visible()
    assert clipboard(page) == api.get("/api/webhooks/secret")["secret"]
    page = tab.open("/try?model=sim/gpt-4o")
    press(button(page, "curl"))
    press(button(page, "Copy"))
    expect(button(page, "Copied")).to_be_visible()
    assert clipboard(page) == page.locator("pre", has_text="curl").inner_text()


def test_trying_again_after_an_outage(tab: Tab, press: Press) -> None:
    """In a dialog, which asks once: nothing but the button asks again."""
    page = tab.open("/jobs")
    page.route("**/v1/async/jobs/bulk", lambda route: route.abort())
    press(button(page, "Act on all that match"))
    dialog = page.locator("dialog")
    expect(dialog.get_by_role("alert")).to_contain_text("The gateway does not answer.")
    page.unroute("**/v1/async/jobs/bulk")
    press(button(dialog, "Try again"))
    expect(dialog.get_by_role("alert")).to_have_count(0)
    expect(dialog).to_contain_text("Jobs that match")
    dialog.press("Escape")
    expect(dialog).to_have_count(0)
    tab.problems.clear()  # the browser itself reports the request that was cut


def test_a_list_that_cannot_go_on_says_so(tab: Tab) -> None:
    def refuse_more(route: Route) -> None:
        if "cursor=" in route.request.url:
            route.abort()
        else:
            route.continue_()

    page = tab.page
    page.route("**/api/logs?*", refuse_more)
    tab.open("/calls")
    button(page, "Load more").click()
    expect(page.get_by_role("status")).to_contain_text("The gateway does not answer.")
    page.unroute("**/api/logs?*")
    button(page, "Load more").click()
    expect(page.locator(".table-foot")).to_contain_text(MORE_THAN_50)
    tab.problems.clear()  # the browser itself reports the request that was cut
