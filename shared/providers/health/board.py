"""Health of each provider: cooldowns, circuits, concurrency, first-byte times. Local; changes are shared.

While everything is healthy a call costs a flag and a few counters. Circuits are per key and model, because one
model's failures say nothing about others; connection failures count for the provider as a whole.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from shared.errors import CircuitOpen, GatewayError, ProviderRateLimited, UpstreamFailure, UpstreamRefused
from shared.providers.base import Provider, ProviderKey
from shared.providers.health.changes import MAX_LIFE_S, HealthChange
from shared.providers.health.circuit import Circuit, CircuitState
from shared.providers.health.cooldown import SPENT_CODES, Cooldown, Cooldowns, HealthScope
from shared.providers.health.gate import Gate
from shared.providers.health.latency import Latencies
from shared.providers.health.selection import choose_key
from shared.providers.health.throttle import RECOVERED_S, Throttle

MAX_CIRCUITS = 2048
MAX_MODELS = 1024

_REACH = HealthScope("", "")

Notify = Callable[[HealthChange], None]


class ProviderHealth:
    """Health of one provider as seen by this process.

    Args:
        gate: Its concurrency limit.
        notify: Called with changes that other processes should know.
        clock: Monotonic seconds.

    Attributes:
        calm: No key is cooling down and no circuit is open: any key will do.
        quiet: Nothing is measured: answered calls need not be reported.
    """

    def __init__(
        self, provider: Provider, gate: Gate, notify: Notify, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.provider = provider
        self.gate = gate
        self.throttle = Throttle(gate)
        self.latencies = Latencies()
        self.calm = True
        self.quiet = True
        self._clock = clock
        self._notify = notify
        self._cooldowns = Cooldowns()
        self._circuits: dict[HealthScope, Circuit] = {}
        self._open: set[HealthScope] = set()
        self._serving: dict[str, tuple[ProviderKey, ...]] = {}

    # ------------------------------------------------------------------ choosing

    def keys(self, model: str) -> tuple[ProviderKey, ...]:
        """The keys that are configured for a model."""
        keys = self._serving.get(model)
        if keys is None:
            if len(self._serving) >= MAX_MODELS:
                self._serving.clear()
            keys = tuple(key for key in self.provider.keys if _serves(key, model))
            self._serving[model] = keys
        return keys

    def choose(
        self,
        model: str,
        session: str,
        tried: frozenset[str] = frozenset(),
        *,
        waited: bool = False,
        urgent: bool = False,
    ) -> ProviderKey | None:
        """The key for a call; None where the provider is called without.

        Args:
            tried: Keys that refused this very call.
            waited: The call has waited for a cooldown already: take the key that recovers first.
            urgent: The call cannot wait until an open circuit is half-open: one such call a second passes.

        Raises:
            CircuitOpen: No call passes now.
            ProviderRateLimited: The provider stated a delay for every key, and none has passed.
        """
        keys = self.keys(model)
        if self.calm and not tried:
            return choose_key(keys, session)
        now = self._clock()
        open_keys = self._passable(keys, model, now, urgent=urgent)
        ready = [key for key in open_keys if key.name not in tried and not self._cooldowns.of(key.name, model, now)]
        key = choose_key(ready, session) if ready else self._first_to_recover(open_keys, model, now, waited=waited)
        self._enter(key.name if key else "", model, now)
        return key

    def has_other(self, model: str, tried: frozenset[str]) -> bool:
        """Whether a key is left that has not refused this call and is not cooling down."""
        now = self._clock()
        return any(
            key.name not in tried
            and not self._cooldowns.of(key.name, model, now)
            and not self._blocked_s(HealthScope(key.name, model), now)
            for key in self.keys(model)
        )

    def soonest_s(self, model: str) -> float:
        """Seconds until the first key recovers."""
        now = self._clock()
        names = [key.name for key in self.keys(model)] or [""]
        return min(
            cooldown.until - now if (cooldown := self._cooldowns.of(name, model, now)) else 0.0 for name in names
        )

    def wait_s(self, model: str) -> float:
        """Seconds until a call of a model may pass the circuits; 0: now."""
        now = self._clock()
        waits = {key.name: self._blocked_s(HealthScope(key.name, model), now) for key in self.keys(model)}
        return self._shortest_s(waits, model, now)

    def _passable(
        self, keys: Sequence[ProviderKey], model: str, now: float, *, urgent: bool = False
    ) -> list[ProviderKey]:
        """The keys whose circuits let a call through.

        Raises:
            CircuitOpen: There is none.
        """
        self.calm = not self._cooldowns and not self._open
        waits = {key.name: self._blocked_s(HealthScope(key.name, model), now, urgent=urgent) for key in keys}
        wait_s = self._shortest_s(waits, model, now, urgent=urgent)
        if wait_s > 0:
            raise CircuitOpen(
                f"The provider {self.provider.name!r} failed too often. It is tried again in {wait_s:.1f} s.",
                retry_after_s=wait_s,
            )
        return [key for key in keys if not waits[key.name]]

    def _shortest_s(self, waits: Mapping[str, float], model: str, now: float, *, urgent: bool = False) -> float:
        reach_s = self._blocked_s(_REACH, now, urgent=urgent)
        own = waits.values() or [self._blocked_s(HealthScope("", model), now, urgent=urgent)]
        return max(reach_s, min(own))

    def _first_to_recover(
        self, keys: Sequence[ProviderKey], model: str, now: float, *, waited: bool
    ) -> ProviderKey | None:
        cooldowns = {key.name: self._cooldowns.of(key.name, model, now) for key in keys} or {
            "": self._cooldowns.of("", model, now)
        }
        ends = {name: cooldown.until if cooldown else now for name, cooldown in cooldowns.items()}
        first = min(ends, key=lambda name: ends[name])
        cooldown = cooldowns[first]
        if cooldown and cooldown.stated and not waited:
            raise ProviderRateLimited(
                f"The provider {self.provider.name!r} is rate limited. Retry in {cooldown.until - now:.1f} s.",
                retry_after_s=cooldown.until - now,
            )
        return next((key for key in keys if key.name == first), None)

    def _blocked_s(self, scope: HealthScope, now: float, *, urgent: bool = False) -> float:
        circuit = self._circuits.get(scope)
        if circuit is None:
            return 0.0
        return circuit.urgent_wait_s(now) if urgent else circuit.wait_s(now)

    def _enter(self, key: str, model: str, now: float) -> None:
        for scope in (_REACH, HealthScope(key, model)):
            circuit = self._circuits.get(scope)
            if circuit is not None:
                circuit.enter(now)

    # ------------------------------------------------------------------ learning from calls

    def measure(self) -> None:
        """From now on keep first-byte times."""
        self.latencies.wanted = True
        self.quiet = False

    def answered(self, key: str, model: str, took_s: float) -> None:
        """A call was answered, or its stream began, after ``took_s``."""
        now = self._clock()
        self._passed(_REACH, now)
        self._passed(HealthScope(key, model), now)
        if self.throttle.active:
            self.throttle.answered(now)
        if self._cooldowns:
            for scope in self._cooldowns.served(key, model):
                self._notify(HealthChange(kind="served", provider=self.provider.name, key=scope.key, model=scope.model))
        if self.latencies.wanted:
            self.latencies.add(model, took_s, now)
        self.quiet = not (self._circuits or self._cooldowns or self.throttle.active or self.latencies.wanted)

    def _passed(self, scope: HealthScope, now: float) -> None:
        circuit = self._circuits.get(scope)
        if circuit is not None:
            circuit.succeeded(now)
            if circuit.forgettable(now):
                del self._circuits[scope]

    def failed(self, key: str, model: str, error: GatewayError) -> None:
        """A call failed, before or after its first byte."""
        now = self._clock()
        if not isinstance(error, UpstreamFailure):
            return
        if not error.reached:
            self._circuit(_REACH).failed(now)
        elif isinstance(error, UpstreamRefused) and error.status < 500:
            self._passed(_REACH, now)
            self._passed(HealthScope(key, model), now)  # a refusal is an answer
            self._refused(key, model, error, now)
        else:
            self._circuit(HealthScope(key, model)).failed(now)

    def _refused(self, key: str, model: str, error: UpstreamRefused, now: float) -> None:
        if error.status not in {401, 402, 403, 429}:
            return
        scope, cooldown = self._cooldowns.add(key, model, error, now)
        self.calm = self.quiet = False
        self._notify(
            HealthChange(
                kind="rest",
                provider=self.provider.name,
                key=scope.key,
                model=scope.model,
                until=self._wall(cooldown.until, now),
                stated=cooldown.stated,
                status=cooldown.status,
                times=cooldown.times,
            )
        )
        too_many = error.status == 429 and error.code not in SPENT_CODES
        if too_many and self.throttle.refused(now, share=1 / max(1, len(self.keys(model)))):
            limit, until = self.throttle.limit, self._wall(now + RECOVERED_S, now)
            self._notify(HealthChange(kind="limit", provider=self.provider.name, limit=limit, until=until))

    def _circuit(self, scope: HealthScope) -> Circuit:
        circuit = self._circuits.get(scope)
        if circuit is None:
            if len(self._circuits) >= MAX_CIRCUITS:
                self._forget_circuits()
            circuit = self._circuits[scope] = Circuit(self.provider.breaker, partial(self._turned, scope))
            self.quiet = False
        return circuit

    def _forget_circuits(self) -> None:
        """Make room: more models than anyone has, somebody makes names up. Open circuits are kept if that is enough."""
        kept = {scope: self._circuits[scope] for scope in self._open if scope in self._circuits}
        self._circuits = kept if len(kept) < MAX_CIRCUITS // 2 else {}
        self._open &= self._circuits.keys()

    def _turned(self, scope: HealthScope, circuit: Circuit) -> None:
        now = self._clock()
        self._note(scope, circuit)
        self._notify(
            HealthChange(
                kind="closed" if circuit.closed else "open",
                provider=self.provider.name,
                key=scope.key,
                model=scope.model,
                until=0.0 if circuit.closed else self._wall(circuit.open_until, now),
            )
        )

    def _note(self, scope: HealthScope, circuit: Circuit) -> None:
        if circuit.closed:
            self._open.discard(scope)
        else:
            self._open.add(scope)
            self.calm = False

    def _wall(self, at: float, now: float) -> float:
        return time.time() + at - now

    # ------------------------------------------------------------------ learning from other processes

    def learn(self, change: HealthChange) -> None:
        """Take over what another process found."""
        now = self._clock()
        left_s = min(change.until - time.time(), MAX_LIFE_S)
        scope = HealthScope(change.key, change.model)
        if change.kind == "served":
            self._cooldowns.drop(scope)
        elif change.kind == "closed":
            self._circuits.pop(scope, None)
            self._open.discard(scope)
        elif left_s <= 0:
            return
        elif change.kind == "limit":
            self.throttle.heard(change.limit, now)
            self.quiet = False
        elif change.kind == "rest":
            self._cooldowns.put(scope, Cooldown(now + left_s, change.stated, change.status, change.times), now)
            self.calm = self.quiet = False
        else:
            circuit = self._circuit(scope)
            circuit.open(now + left_s)
            self._note(scope, circuit)

    # ------------------------------------------------------------------ showing

    def state(self) -> dict[str, Any]:
        """Current deviations from normal, for people and metrics; no secrets."""
        now = self._clock()
        reach = self._circuits.get(_REACH)
        return {
            "circuit": (reach.state(now) if reach else CircuitState.CLOSED).value,
            "tried_again_in_s": round(self._blocked_s(_REACH, now), 1),
            "concurrency": {
                "configured": self.gate.slots,
                "limit": self.gate.limit,
                "inside": self.gate.inside,
                "waiting": self.gate.waiting,
            },
            "circuits": [
                {
                    "key": scope.key,
                    "model": scope.model,
                    "circuit": self._circuits[scope].state(now).value,
                    "tried_again_in_s": round(self._circuits[scope].wait_s(now), 1),
                }
                for scope in sorted(self._open - {_REACH})
            ],
            "resting_keys": [
                {
                    "key": scope.key,
                    "model": scope.model,
                    "status": cooldown.status,
                    "for_s": round(cooldown.until - now, 1),
                }
                for scope, cooldown in self._cooldowns.all(now).items()
            ],
        }


class HealthBoard(Mapping[str, ProviderHealth]):
    """The health of every configured provider.

    Attributes:
        notify: Called with changes; ``SharedHealth`` sets it.
    """

    def __init__(
        self,
        providers: Mapping[str, Provider],
        gates: Mapping[str, Gate],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.notify: Notify = _keep_to_itself
        self._known = {
            name: ProviderHealth(provider, gates[name], self._pass_on, clock) for name, provider in providers.items()
        }

    def __getitem__(self, name: str) -> ProviderHealth:
        return self._known[name]

    def __iter__(self) -> Any:  # noqa: ANN401 - an iterator of names
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)

    def learn(self, change: HealthChange) -> None:
        """Take over what another process found; a provider that is not configured here is no matter."""
        known = self._known.get(change.provider)
        if known is not None:
            known.learn(change)

    def states(self) -> dict[str, dict[str, Any]]:
        """``ProviderHealth.state`` by provider."""
        return {name: health.state() for name, health in self._known.items()}

    def _pass_on(self, change: HealthChange) -> None:
        self.notify(change)


def _keep_to_itself(_change: HealthChange) -> None:
    """Drop the change: no other process is connected."""


def _serves(key: ProviderKey, model: str) -> bool:
    return key.models == ("*",) or any(_matches(model, pattern) for pattern in key.models)


def _matches(model: str, pattern: str) -> bool:
    return model == pattern or (pattern.endswith("*") and model.startswith(pattern[:-1]))
