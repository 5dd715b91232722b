"""Every action of the console, by mouse and by keyboard; its effect is checked through the API."""

import re
from typing import Any

import pytest
from playwright.sync_api import Browser, expect
from redis import Redis

from shared.store.datadir import running_store_url
from tests.browser.acting import Press, button, row
from tests.browser.changes import CHAT, SLOW, Api
from tests.browser.conftest import ADMIN_KEY, Tab
from tests.served import Served
from tests.waiting import wait_until_sync

pytestmark = [pytest.mark.process, pytest.mark.timeout(180)]


def test_keys(tab: Tab, api: Api, press: Press) -> None:
    name = f"made {press.__name__}"
    page = tab.open("/keys")
    press(button(page, "Create key"))
    page.get_by_label("Name").fill(name)
    page.get_by_label("Team").last.fill("browser")
    press(button(page.locator("dialog"), "Create key"))
    expect(page.locator("dialog code")).to_contain_text("sk-bf-")
    press(button(page, "Done"))
    (made,) = [key for key in api.get("/api/keys?team=browser")["data"] if key["name"] == name]
    press(button(row(page, name), "Rotate"))
    press(button(page, "Rotate key"))
    expect(page.locator("dialog code")).to_contain_text("sk-bf-")
    press(button(page, "Done"))
    assert api.get(f"/api/keys/{made['id']}")["hint"] != made["hint"]
    press(button(row(page, name), "Revoke"))
    press(button(page, "Revoke key"))
    expect(row(page, name).locator(".badge")).to_have_text("revoked")
    assert api.get(f"/api/keys/{made['id']}")["status"] == "revoked"


def test_a_job_is_submitted_cancelled_and_retried_with_changes(tab: Tab, api: Api, press: Press) -> None:
    page = tab.open("/try?mode=job")
    page.get_by_label("Model").fill(SLOW)
    press(button(page, "Send"))
    page.wait_for_url(re.compile("/ui/jobs/"))
    job_id = page.url.rsplit("/", 1)[1]
    press(button(page, "Cancel job"))
    press(button(page.locator("dialog"), "Cancel job"))
    expect(page.locator("dl .badge")).to_have_text("cancelled")
    assert api.get(f"/api/jobs/{job_id}")["status"] == "cancelled"
    page = tab.open(f"/jobs/{api.submit('sim/gpt-4o@status=400')}")
    press(button(page, "Retry"))
    model = f"sim/gpt-4o@tokens={len(press.__name__)}"  # another one each time: no stored answer serves it
    page.locator("dialog").get_by_label("Model").fill(model)
    press(button(page.locator("dialog"), "Retry"))
    expect(page.locator("dl .badge")).to_have_text("completed")
    job = api.get(f"/api/jobs/{page.url.rsplit('/', 1)[1]}")
    assert (job["status"], job["model"], len(job["history"])) == ("completed", model, 2)


def test_selected_jobs_are_cancelled(tab: Tab, api: Api, press: Press) -> None:
    model = f"{SLOW},tokens={len(press.__name__)}"
    ids = [api.submit(model), api.submit(model)]
    page = tab.open(f"/jobs?model={model}")
    press(page.get_by_label("Select all rows"))
    press(button(page, "Cancel 2"))
    press(button(page, "Cancel jobs"))
    expect(page.locator("tbody .badge")).to_have_text(["cancelled", "cancelled"])
    assert [api.get(f"/api/jobs/{job_id}")["status"] for job_id in ids] == ["cancelled", "cancelled"]


def test_all_jobs_that_match_are_counted_priced_and_cancelled(tab: Tab, api: Api, press: Press) -> None:
    label = press.__name__
    ids = [api.submit(SLOW, **{"x-bf-dim-app": label}) for _ in range(3)]
    page = tab.open(f"/jobs?label=app:{label}")
    expect(page.locator("tbody tr")).to_have_count(3)
    press(button(page, "Act on all that match"))
    expect(page.locator("dialog")).to_contain_text("at most $")
    press(button(page.locator("dialog"), "Cancel 3 jobs"))
    progress = page.get_by_label("Bulk operation")
    expect(progress).to_contain_text("completed")
    expect(progress).to_contain_text("3 of 3")
    page.reload()
    expect(progress).to_contain_text("completed")
    press(button(progress, "Dismiss"))
    expect(progress).to_have_count(0)
    assert {api.get(f"/api/jobs/{job_id}")["status"] for job_id in ids} == {"cancelled"}


def test_a_part_of_the_queue_is_paused_and_resumed(tab: Tab, api: Api, press: Press) -> None:
    page = tab.open("/queue")
    press(button(page, "Pause jobs"))
    page.get_by_label("Name").fill("ollama")
    page.get_by_label("Reason").fill("maintenance")
    press(button(page, "Pause"))
    expect(row(page, "provider:ollama")).to_be_visible()
    assert "provider:ollama" in {pause["scope"] for pause in api.get("/api/queue/pauses")["data"]}
    press(button(row(page, "provider:ollama"), "Resume"))
    expect(row(page, "provider:ollama")).to_have_count(0)
    assert "provider:ollama" not in {pause["scope"] for pause in api.get("/api/queue/pauses")["data"]}


def test_schedules(tab: Tab, api: Api, press: Press) -> None:
    name = f"nightly {press.__name__}"

    def stored() -> list[dict[str, Any]]:
        return [schedule for schedule in api.get("/api/schedules")["data"] if schedule["name"] == name]

    page = tab.open("/schedules")
    press(button(page, "Create schedule"))
    dialog = page.locator("dialog")
    dialog.get_by_label("Name").fill(name)
    dialog.get_by_label("Model").fill("sim/gpt-4o")
    dialog.get_by_label("Prompt").fill("Report.")
    dialog.get_by_label("Time zone").fill("Europe/Berlin")
    press(button(dialog, "Create schedule"))
    expect(row(page, name).locator(".badge")).to_have_text("active")
    assert (stored()[0]["cron"], stored()[0]["timezone"]) == ("30 6 * * MON-FRI", "Europe/Berlin")
    press(button(row(page, name), "Pause"))
    expect(row(page, name).locator(".badge")).to_have_text("paused")
    assert stored()[0]["status"] == "paused"
    press(button(row(page, name), "Resume"))
    expect(row(page, name).locator(".badge")).to_have_text("active")
    press(button(row(page, name), "Delete"))
    press(button(page, "Delete schedule"))
    expect(row(page, name)).to_have_count(0)
    assert stored() == []


def muted(api: Api) -> Any:
    (rule,) = api.get("/api/alerts/rules")["data"]
    return rule["muted"]


def test_a_rule_is_muted_and_unmuted(tab: Tab, api: Api, press: Press) -> None:
    page = tab.open("/alerts")
    press(button(row(page, "failures"), "Mute"))
    expect(button(row(page, "failures"), "Unmute")).to_be_visible()
    assert muted(api)
    press(button(row(page, "failures"), "Unmute"))
    expect(button(row(page, "failures"), "Mute")).to_be_visible()
    assert not muted(api)


def test_an_event_is_sent_again(tab: Tab, api: Api, press: Press) -> None:
    job_id = api.submit("sim/gpt-4o", **{"x-bf-async-webhook": "orders"})
    page = tab.open(f"/webhooks?job={job_id}")
    expect(page.locator("tbody .badge")).to_have_text("delivered")
    press(page.locator("tbody button"))
    press(button(page, "Send again"))
    expect(page.locator("tbody td.right").first).to_have_text("2")
    (delivery,) = api.get(f"/api/webhooks/deliveries?job={job_id}")["data"]
    assert len(delivery["attempts"]) == 2
    press(button(page, "Signing secret"))
    expect(page.locator("dialog code")).to_contain_text("whsec_")
    press(button(page, "Done"))


def test_stored_answers_are_purged(tab: Tab, api: Api, press: Press) -> None:
    for _ in range(2):
        api.post("/v1/chat/completions", {"model": "sim/gpt-4o-mini", **CHAT}, authorization="")
    page = tab.open("/cache")
    press(button(page, "Purge answers"))
    page.get_by_label("Model").fill("sim/gpt-4o-mini")
    page.get_by_label("Model").blur()
    press(page.get_by_role("button", name=re.compile(r"Purge \d+ answers")))  # other tests may have stored some too
    expect(page.get_by_role("status")).to_contain_text("answers purged.")
    assert api.post("/api/cache/purge", {"model": "sim/gpt-4o-mini", "dry_run": True})["purged"] == 0


def test_a_batch_is_cancelled(tab: Tab, api: Api, press: Press) -> None:
    line = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {"model": SLOW, **CHAT}}
    body = {"input_file_id": api.upload([line]), "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    batch = api.post("/v1/batches", body, authorization="")
    page = tab.open("/batches")
    press(button(page.locator("tbody tr").first, "Cancel"))
    press(button(page, "Cancel batch"))
    expect(page.locator("tbody tr").first.locator(".badge")).to_have_text(re.compile("cancel"))
    assert api.get(f"/v1/batches/{batch['id']}")["status"] in {"cancelling", "cancelled"}


def test_the_theme_changes_and_stays(tab: Tab, press: Press) -> None:
    page = tab.open("/audit")
    press(page.get_by_role("button", name="Switch to the dark theme"))
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


def test_every_api_format_answers_and_shows_its_code(tab: Tab, press: Press) -> None:
    page = tab.open("/try?model=sim/gpt-4o")
    for name, code in (
        ("Responses", "responses.create"), ("Anthropic messages", "messages.create"),
        ("Gemini generateContent", "generate_content"), ("Embeddings", "embeddings.create"),
        ("Images", "images.generate"), ("Chat completions", "chat.completions.create"),
    ):  # fmt: skip
        page.get_by_label("API").select_option(label=name)
        press(button(page, "Send"))
        expect(page.locator("pre[aria-live]")).not_to_be_empty()
        expect(page.get_by_text(code)).to_be_visible()


def test_failed_jobs_are_selected_and_retried(tab: Tab, api: Api, press: Press) -> None:
    label = f"again-{press.__name__}"
    ids = [api.submit("sim/gpt-4o@status=400", **{"x-bf-dim-app": label}) for _ in range(2)]
    page = tab.open(f"/jobs?label=app:{label}")
    expect(page.locator("tbody .badge")).to_have_text(["failed", "failed"])
    press(page.get_by_label(f"Select {ids[0]}"))
    press(button(page, "Clear selection"))
    expect(page.locator(".selection")).to_have_count(0)
    press(page.get_by_label(f"Select {ids[1]}"))
    press(button(page, "Retry 1"))
    press(button(page.locator("dialog"), "Retry jobs"))
    expect(page.get_by_role("status")).to_contain_text("1 job changed.")
    expect(page.locator("tbody .badge")).to_have_text(["failed", "failed"])
    wait_until_sync(lambda: len(api.get(f"/api/jobs/{ids[1]}")["history"]) == 2)
    assert len(api.get(f"/api/jobs/{ids[0]}")["history"]) == 1
    press(page.locator("tbody a").first)
    expect(page.get_by_role("heading", name="Job", exact=True)).to_be_visible()
    assert page.url.rsplit("/", 1)[1] in ids


def test_all_jobs_that_match_are_moved_retried_and_deleted(tab: Tab, api: Api, press: Press) -> None:
    label = f"all-{press.__name__}"
    waiting = api.submit("sim/gpt-4o", **{"x-bf-dim-app": label, "x-bf-async-delay": "3600"})
    failed = api.submit("sim/gpt-4o@status=400", **{"x-bf-dim-app": label})
    page = tab.open(f"/jobs?label=app:{label}")
    expect(page.locator("tbody .badge").first).to_have_text("failed")
    progress = page.get_by_label("Bulk operation")

    def act(action: str, name: str, priority: str = "") -> None:
        press(button(page, "Act on all that match"))
        dialog = page.locator("dialog")
        dialog.get_by_label("Action").select_option(action)
        if priority:
            dialog.get_by_label("New priority").select_option(priority)
        press(button(dialog, name))
        expect(progress).to_contain_text("completed")
        press(button(progress, "Dismiss"))

    act("reprioritize", "Change the priority of 1 job", "high")
    assert [job["id"] for job in api.get(f"/api/jobs?label=app:{label}&priority=high")["data"]] == [waiting]
    act("retry", "Retry 1 job")
    wait_until_sync(lambda: len(api.get(f"/api/jobs/{failed}")["history"]) == 2)
    expect(page.locator("tbody .badge").first).to_have_text("failed")
    act("delete", "Delete 1 job")
    expect(page.locator("tbody tr")).to_have_count(1)
    assert [job["id"] for job in api.get(f"/api/jobs?label=app:{label}")["data"]] == [waiting]


def test_a_bulk_operation_is_stopped(tab: Tab, api: Api, press: Press) -> None:
    label = f"stop-{press.__name__}"
    for _ in range(2):
        api.submit("sim/gpt-4o", **{"x-bf-dim-app": label, "x-bf-async-delay": "3600"})
    request = {"action": "cancel", "filter": {"label": [f"app:{label}"]}, "rate_per_s": 0.01}
    operation = api.post("/v1/async/jobs/bulk", request)["id"]
    page = tab.open(f"/jobs?operation={operation}")
    press(button(page.get_by_label("Bulk operation"), "Stop"))
    expect(page.get_by_label("Bulk operation").locator(".badge")).to_have_text("cancelled")
    assert api.get(f"/api/operations/{operation}")["status"] == "cancelled"


def test_a_dead_letter_is_retried(tab: Tab, api: Api, press: Press, gateway: Served) -> None:
    job_id = api.submit("sim/gpt-4o@status=400", **{"x-bf-dim-app": "dead"})
    wait_until_sync(lambda: api.get(f"/api/jobs/{job_id}")["status"] == "failed")
    with Redis.from_url(str(running_store_url(gateway.data_dir))) as store:  # as if its workers had died
        store.zadd("finops:jobs:dead", {job_id: 1})
    page = tab.open("/queue")
    dead = page.get_by_role("region", name="Dead letters")
    press(button(dead.locator("tbody tr", has_text=job_id[:8]), "Retry"))
    press(button(page.locator("dialog"), "Retry"))
    expect(page.get_by_role("status")).to_contain_text("The job runs again.")
    wait_until_sync(lambda: len(api.get(f"/api/jobs/{job_id}")["history"]) == 2)


def test_an_event_is_sent_again_from_its_job(tab: Tab, api: Api, press: Press) -> None:
    job_id = api.submit("sim/gpt-4o", **{"x-bf-async-webhook": "orders"})
    page = tab.open(f"/jobs/{job_id}")
    press(button(page.locator(".card", has_text="Deliveries"), "Send again"))
    expect(page.locator(".card", has_text="Deliveries")).to_contain_text("2 attempts")
    (delivery,) = api.get(f"/api/webhooks/deliveries?job={job_id}")["data"]
    assert len(delivery["attempts"]) == 2
    press(button(page, "JSON"))
    expect(page.locator("pre", has_text='"choices"')).to_be_visible()
    press(button(page, "Python"))
    expect(page.locator("pre", has_text="import httpx")).to_be_visible()


def test_views_of_spend_and_calls(tab: Tab, api: Api, press: Press) -> None:
    page = tab.open("/spend")
    press(button(page, "Week"))
    page.get_by_label("Group by").select_option("model")
    expect(page).to_have_url(re.compile("days=7.*group_by=model"))
    press(button(page, "Table"))
    expect(page.get_by_role("region", name="Spend as a table").locator("tbody tr").first).to_be_visible()
    export = page.get_by_role("link", name="Export CSV")
    with page.expect_download() as download:
        press(export)
    names = {row["model"] for row in api.get("/api/usage?per=total&group_by=model")["data"]}
    assert names.intersection(re.split(r"[,\n]", download.value.path().read_text()))
    page = tab.open("/calls")
    press(page.locator("tbody button").first)
    expect(page.locator("dialog")).to_contain_text("request id")
    press(button(page.locator("dialog"), "Close"))
    expect(page.locator("dialog")).to_have_count(0)


def test_a_stream_is_stopped(tab: Tab, press: Press) -> None:
    page = tab.open("/try?mode=stream")
    page.get_by_label("Model").fill("sim/gpt-4o@tokens=100000,tps=5")
    press(button(page, "Send"))
    expect(page.locator("pre[aria-live]")).not_to_be_empty()
    press(button(page, "Stop"))
    expect(page.locator("[role=alert]")).to_have_text("Stopped.")


def test_signing_in_and_out(browser: Browser, gateway: Served, press: Press) -> None:
    context = browser.new_context(viewport={"width": 700, "height": 800})
    page = context.new_page()
    page.goto(f"{gateway.url}/ui")
    page.fill("input[name=key]", ADMIN_KEY)
    press(button(page, "Sign in"))
    press(button(page, "Menu"))
    press(button(page, "Sign out"))
    expect(page.get_by_role("heading", name="Sign in to FinOps")).to_be_visible()
    assert context.request.get(f"{gateway.url}/api/overview").status == 401
    context.close()
