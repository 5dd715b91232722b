"""Provider health as Prometheus metrics, read from the process at each scrape."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

States = Callable[[], Mapping[str, Mapping[str, Any]]]

_VALUES = {"closed": 0, "half_open": 1, "open": 2}


class ProviderMetrics(Collector):
    """Circuits, cooldowns and concurrency, by provider.

    Args:
        states: ``Inference.states``.
    """

    def __init__(self, states: States) -> None:
        self._states = states

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Nothing: the names are known at the first scrape."""
        return ()

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """The metrics now."""
        circuit = _gauge("circuit_state", "0 closed, 1 half open, 2 open; the worst of its circuits.")
        blocked = _gauge("open_circuits", "Circuits of keys and models that are not closed.")
        cooling = _gauge("resting_keys", "Keys that cool down, per model where the limit is the model's.")
        limit = _gauge("concurrency_limit", "Calls at once that are let through now.")
        inside = _gauge("concurrency_used", "Calls under way.")
        waiting = _gauge("concurrency_waiting", "Calls that wait for a place.")
        for name, state in self._states().items():
            circuits = [state["circuit"], *(each["circuit"] for each in state["circuits"])]
            circuit.add_metric([name], max(_VALUES[each] for each in circuits))
            blocked.add_metric([name], len(state["circuits"]))
            cooling.add_metric([name], len(state["resting_keys"]))
            limit.add_metric([name], state["concurrency"]["limit"])
            inside.add_metric([name], state["concurrency"]["inside"])
            waiting.add_metric([name], state["concurrency"]["waiting"])
        return circuit, blocked, cooling, limit, inside, waiting


def watch_providers(registry: CollectorRegistry, states: States) -> None:
    """Register the metrics in a process's registry."""
    registry.register(ProviderMetrics(states))


def _gauge(name: str, text: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"finops_provider_{name}", text, labels=["provider"])
