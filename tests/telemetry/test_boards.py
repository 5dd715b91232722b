"""deploy/grafana and deploy/prometheus: queries name metrics and labels that exist, alerts fire when they must."""

import json
import re
from collections.abc import Callable
from importlib import util
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from shared.telemetry.metrics import Metrics
from shared.telemetry.provider_metrics import watch_providers
from tests.telemetry.promql import Evaluator, Scrape, groupings, parse, scrape_of, selectors
from tests.telemetry.test_metrics import PriorityDepth, Stats

ROOT = Path(__file__).parents[2]
BOARD = json.loads((ROOT / "deploy/grafana/finops.json").read_text())
[GROUP] = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text())["groups"]
RULES = {rule["alert"]: rule for rule in GROUP["rules"]}
PANELS = [panel for panel in BOARD["panels"] if panel["type"] != "row"]
QUERIES = [target["expr"] for panel in PANELS for target in panel["targets"]] + [
    rule["expr"] for rule in RULES.values()
]


@pytest.fixture(scope="module")
def known() -> dict[str, dict[str, set[str]]]:
    """The samples that a process exposes: their labels, and of some the values."""
    spec = util.spec_from_file_location("tables", ROOT / "docs" / "tables.py")
    assert spec
    assert spec.loader
    tables = util.module_from_spec(spec)
    spec.loader.exec_module(tables)
    found: dict[str, dict[str, set[str]]] = {}
    for metric in [*tables.every_metric(), *Metrics("api").registry.collect()]:
        for sample in metric.samples:
            labels = found.setdefault(sample.name, {})
            for name, value in sample.labels.items():
                labels.setdefault(name, set()).add(value)
    return found


def test_the_board_shows_the_gateways_metrics(known: dict[str, Any]) -> None:
    queried = {selector.name for query in QUERIES for selector in selectors(parse(query))}
    ours = {name for name in known if name.startswith("finops_") and not name.endswith(("_bucket", "_sum", "_created"))}
    families = {name.removesuffix("_count") for name in ours}
    shown = {re.sub(r"_(bucket|count|sum)$", "", name) for name in queried}
    assert len(families - shown) < 10, f"add panels for {families - shown}"
    rows = (ROOT / "docs/19-watch.md").read_text()
    assert {name for name in families if f"`{name}`" not in rows} == set()


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_names_metrics_and_labels_that_exist(query: str, known: dict[str, Any]) -> None:
    expression = parse(query)
    for selector in selectors(expression):
        assert selector.name in known, selector.name
        for matcher in selector.matchers.matchers:
            assert matcher.name in known[selector.name], (selector.name, matcher.name)
            if matcher.name == "le":
                assert matcher.value in known[selector.name]["le"]
    for labels, inside in groupings(expression):
        for label in labels:
            assert all(label in known[selector.name] for selector in inside), (label, query)


def test_the_board_is_one_that_grafana_imports() -> None:
    assert len({panel["id"] for panel in BOARD["panels"]}) == len(BOARD["panels"])
    assert len({panel["title"] for panel in PANELS}) == len(PANELS)
    for panel in PANELS:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        assert {target["datasource"]["uid"] for target in panel["targets"]} == {"${datasource}"}


def test_every_alert_has_a_severity_and_a_paragraph_in_the_runbook() -> None:
    page = (ROOT / "docs/19-watch.md").read_text()
    for name, rule in RULES.items():
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}
        assert re.search(rf"^### {name}\n\n\w", page, re.MULTILINE), name
        assert rule["annotations"]["runbook_url"].endswith(f"19-watch.html#{name.lower()}")
        labels = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
        assert labels <= {label for kept, _ in groupings(parse(rule["expr"])) for label in kept}
        assert re.fullmatch(r"\d+[mh]", rule["for"])


# ---------------------------------------------------------------------- each rule, between two scrapes


class Fleet:
    """An API process and a worker, which are scraped together."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.metrics = Metrics("api", self.registry)
        self.state: dict[str, Any] = {
            "circuit": "closed", "circuits": [], "resting_keys": [],
            "concurrency": {"limit": 10, "inside": 1, "waiting": 0},
        }  # fmt: skip
        self.missing = ""
        watch_providers(self.registry, lambda: {"sim": self.state})
        self.queue()
        self.work()

    def queue(self, depth: int = 1, age_s: float = 0.1, **more: int) -> None:
        self.metrics.observe_queue(Stats({"high": PriorityDepth(depth, age_s)}, **more))  # type: ignore[dict-item]

    def work(self) -> None:
        """A minute of healthy work."""
        for _ in range(100):
            self.metrics.request("openai", "chat.completions", 200, "sim", 0.5)
            self.metrics.attempt("sim", 200, 0.5)
            self.metrics.waited(0.01, "high")
            self.metrics.ran(0.5, "completed", "chat.completions")
        self.metrics.attempt("sim", 502, 0.5)
        self.metrics.spent("red", "sim", "gpt-4o", 1_000_000, (1, 1, 0))
        self.metrics.delivery_attempted(0.1, "delivered")
        self.metrics.observe_rules({"old-jobs": False})
        self.metrics.observe_limits([("budget", "team:red", "1d", 0.5), ("requests", "team:red", "1m", 0.0)])

    def scrape(self) -> Scrape:
        text = self.metrics.render().decode() + 'finops_up{tier="worker"} 1\n'
        return scrape_of(re.sub(rf'^finops_up{{tier="{self.missing}"}}.*\n', "", text, flags=re.MULTILINE))


def many(count: int, call: Callable[[], None]) -> None:
    for _ in range(count):
        call()


TROUBLE: dict[str, Callable[[Fleet], None]] = {
    "FinopsApiDown": lambda fleet: setattr(fleet, "missing", "api"),
    "FinopsNoWorker": lambda fleet: setattr(fleet, "missing", "worker"),
    "FinopsQueueOld": lambda fleet: fleet.queue(age_s=301),
    "FinopsJobsLate": lambda fleet: many(20, lambda: fleet.metrics.waited(6, "low")),
    "FinopsDeadLetters": lambda fleet: fleet.queue(dead=1),
    "FinopsWorkersLost": lambda fleet: many(6, lambda: fleet.metrics.rerun("high")),
    "FinopsProviderErrors": lambda fleet: many(60, lambda: fleet.metrics.attempt("sim", 429, 0.1)),
    "FinopsCircuitOpen": lambda fleet: fleet.state.update(circuit="open"),
    "FinopsProviderFull": lambda fleet: fleet.state["concurrency"].update(waiting=3),
    "FinopsApiErrors": lambda fleet: many(20, lambda: fleet.metrics.request("openai", "embeddings", 503, "", 0.1)),
    "FinopsRequestsRefused": lambda fleet: many(100, lambda: fleet.metrics.refused("too_many_connections")),
    "FinopsPriceUnknown": lambda fleet: fleet.metrics.spent("red", "sim", "new", None, (1, 0, 0)),
    "FinopsSpendHigh": lambda fleet: fleet.metrics.spent("red", "sim", "gpt-4o", 200_000_000, (1, 0, 0)),
    "FinopsBudgetNearlySpent": lambda fleet: fleet.metrics.observe_limits([("budget", "team:red", "1d", 0.04)]),
    "FinopsWebhooksPending": lambda fleet: fleet.metrics.deliveries_stored(1001, 0),
    "FinopsWebhookDisabled": lambda fleet: fleet.metrics.deliveries_stored(0, 1),
    "FinopsQueuePaused": lambda fleet: fleet.queue(pauses=1),
    "FinopsRuleFiring": lambda fleet: fleet.metrics.observe_rules({"old-jobs": True}),
}


def fired(trouble: Callable[[Fleet], None]) -> set[str]:
    fleet = Fleet()
    before = fleet.scrape()
    fleet.work()
    trouble(fleet)
    evaluate = Evaluator(before, fleet.scrape())
    return {name for name, rule in RULES.items() if evaluate(rule["expr"])}


def test_a_healthy_fleet_fires_no_alert() -> None:
    assert fired(lambda fleet: None) == set()


@pytest.mark.parametrize("name", RULES)
def test_an_alert_fires_in_its_own_trouble_and_no_other(name: str) -> None:
    assert fired(TROUBLE[name]) == {name}
