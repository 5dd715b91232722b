"""What open tabs of the console cost, how smoothly 10,000 jobs scroll, and how soon pages show a change.

python -m bench.console            # two minutes; needs chromium
python -m bench.console --changes  # how soon each live page shows a change, instead; three minutes
python -m bench.console --keep     # make the tables the current ones in RESULTS.md
"""

import argparse
import random
import shutil
import tempfile
import time
from pathlib import Path
from statistics import median

from playwright.sync_api import Browser, Page, sync_playwright
from redis import Redis

from bench import results_file
from bench.machine import cpu_s, load, shape
from bench.report import run_line, table
from shared.store.datadir import running_store_url
from tests.browser.changes import prepare_changes
from tests.browser.conftest import ADMIN_KEY, ARGUMENTS, api_of, sample_gateway
from tests.served import Served

GROUP = "Console"
JOBS = 10_000
TABS = (0, 1, 5)
SCROLL = (
    """async (base) => {
    const { html, render } = await import(base + "/app/lib/html.js");
    const { Table } = await import(base + "/app/ui/table.js");
    const { Status, When, Id } = await import(base + "/app/ui/parts.js");
    const root = document.createElement("div");
    document.body.append(root); // outside of what the page itself draws anew
    root.style.cssText = "position: fixed; inset: 0; background: var(--surface)";
    const at = new Date().toISOString();
    const rows = Array.from({ length: %d }, (_, n) => ({ id: `job-${n}`, at }));
    const columns = [
        { title: "Job", cell: (row) => html`<${Id} id=${row.id} />` },
        { title: "Status", cell: () => html`<${Status} status="completed" />` },
        { title: "Model", cell: () => html`<span class="clip">openai/gpt-4o</span>` },
        { title: "Submitted", cell: (row) => html`<${When} at=${row.at} />` },
    ];
    render(html`<${Table} label="many" rows=${rows} keyOf=${(row) => row.id} columns=${columns} />`, root);
    const frame = root.querySelector("[aria-label=many]");
    await new Promise((done) => setTimeout(done, 500));
    const tasks = [];
    new PerformanceObserver((list) => tasks.push(...list.getEntries().map((one) => one.duration))).observe({ type: "longtask" });
    const gaps = [];
    let before = performance.now();
    for (let step = 1; step <= 300; step++) {
        frame.scrollTop += 240; // two notches of a wheel
        await new Promise(requestAnimationFrame);
        gaps.push(performance.now() - before);
        before = performance.now();
    }
    await new Promise((done) => setTimeout(done, 300));
    gaps.sort((a, b) => a - b);
    return { longest: Math.max(0, ...tasks), over: tasks.length, median: gaps[150], worst: gaps[299] };
}"""
    % JOBS
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20, help="of each window")
    parser.add_argument("--changes", action="store_true", help="how soon each live page shows a change")
    parser.add_argument("--rounds", type=int, default=7, help="of changes on each page")
    parser.add_argument("--keep", action="store_true")
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        sample_gateway(Path(folder)) as gateway,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=list(ARGUMENTS))
        if arguments.changes:
            text = f"### A change made through the API, until the open page shows it\n\n{changes(browser, gateway, arguments.rounds)}\n"
        else:
            text = f"### An open Overview\n\n{tabs(browser, gateway, arguments.seconds)}\n\n### {JOBS:,} rows, scrolled by 240 px a frame, 300 times\n\n{scrolling(browser, gateway)}\n"
        browser.close()
    print(text)
    if arguments.keep:
        results_file.keep(GROUP, f"{run_line()}; {shape()}; load average {load():.1f}.", text)


def changes(browser: Browser, gateway: Served, rounds: int) -> str:
    """Time from sending each change to seeing it, at moments that fall anywhere between two polls."""
    found: dict[str, list[float]] = {}
    page = signed_in(browser, gateway)
    with api_of(gateway) as api:
        for _ in range(rounds):
            for title, change in prepare_changes(api):
                page.goto(f"{gateway.url}/ui{change.path}")
                page.wait_for_selector("main h1")
                page.wait_for_selector("[aria-busy=true]", state="detached")
                find = change.watch(page)
                time.sleep(1.5 + random.uniform(0, 1.5))
                began = time.monotonic()
                find(change.make()).first.wait_for(timeout=30_000)
                found.setdefault(title, []).append(time.monotonic() - began)
                change.undo()
    page.context.close()
    rows = [[title, *(f"{at(times):.2f}" for at in (min, median, max))] for title, times in found.items()]
    return table(["page", "soonest, s", "median, s", "latest, s"], rows)


def tabs(browser: Browser, gateway: Served, seconds: float) -> str:
    """Load of the API and the store with tabs open, in one run: each number of tabs twice, in turns."""
    (api,) = gateway.processes("api")
    found: dict[int, list[list[float]]] = {}
    with Redis.from_url(str(running_store_url(gateway.data_dir))) as store:

        def figures() -> list[float]:
            return [100 * cpu_s(api), scripts(store), reads(store)]

        for number_of_tabs in (*TABS, *TABS):
            pages = [signed_in(browser, gateway)] if number_of_tabs else []
            for _ in range(number_of_tabs - 1):
                pages.append(pages[0].context.new_page())
                pages[-1].goto(f"{gateway.url}/ui")
            time.sleep(3)
            before, began = figures(), time.monotonic()
            time.sleep(seconds)
            after, took = figures(), time.monotonic() - began
            measured = [(late - early) / took for early, late in zip(before, after, strict=True)]
            found.setdefault(number_of_tabs, []).append(measured)
            if pages:
                pages[0].context.close()
    best = {count: [min(run[at] for run in runs) for at in range(3)] for count, runs in found.items()}
    rows = [
        [
            str(count),
            *(f"{figure:.2f}" for figure in figures),
            *(f"{figure - idle:.2f}" for figure, idle in zip(figures, best[0], strict=True)),
        ]
        for count, figures in best.items()
    ]
    head = ["tabs", "API, % of a core", "store, scripts/s", "store, reads of sockets/s"]
    return table([*head, *("more than without: " + name.rpartition(", ")[2] for name in head[1:])], rows)


def scrolling(browser: Browser, gateway: Served) -> str:
    """Three times: tasks over 50 ms, as the browser reports them, and the time between two frames."""
    rows = []
    for run in range(3):
        page = signed_in(browser, gateway)
        base = str(page.locator("script[type=module]").get_attribute("src")).removesuffix("/app/main.js")
        page.goto(f"{gateway.url}/ui/try")
        found = page.evaluate(SCROLL, base)
        rows.append(
            [str(run + 1), str(found["over"]), *(f"{found[name]:.0f}" for name in ("longest", "median", "worst"))]
        )
        page.context.close()
    return table(["run", "tasks over 50 ms", "longest of them, ms", "frame, median, ms", "frame, worst, ms"], rows)


def signed_in(browser: Browser, gateway: Served) -> Page:
    """Open Overview in a window of its own."""
    page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
    page.goto(f"{gateway.url}/ui")
    page.fill("input[name=key]", ADMIN_KEY)
    page.press("input[name=key]", "Enter")
    page.wait_for_selector("nav[aria-label=Pages]")
    return page


def scripts(store: Redis) -> int:
    """Scripts that were run; the totals of commands count those inside scripts too."""
    return int(store.info("commandstats")["cmdstat_evalsha"]["calls"])


def reads(store: Redis) -> int:
    """Reads from clients' sockets: one for each round trip."""
    return int(store.info("stats")["total_reads_processed"])


if __name__ == "__main__":
    main()
