"""Translate Bifrost's ``config.json`` (https://docs.getbifrost.ai/deployment-guides/config-json)."""

import re
from collections.abc import Mapping
from typing import Any

from cli.importers.draft import CLOUDS, Draft
from cli.importers.fields import NotThatKind, names, number, rows, table, text
from shared.providers.registry import BY_NAME

MAX_ATTEMPTS = 20
# Bifrost's names of providers that are called otherwise here.
_FAMILIES: Mapping[str, str] = {"sgl": "sglang", "parasail": ""}
_WIRES: Mapping[str, str] = {"openai": "openai", "anthropic": "anthropic", "gemini": "gemini", "bedrock": "bedrock"}
_WINDOWS = re.compile(r"(\d+)([mhdwM])")
_USED_KEY = frozenset({"id", "name", "value", "models", "weight"})
_CLOUD_CONFIGS = ("azure_key_config", "vertex_key_config", "bedrock_key_config", "vllm_key_config", "ollama_key_config")
_USED_PROVIDER = frozenset({"keys", "network_config", "concurrency_and_buffer_size", "custom_provider_config"})
_USED_NETWORK = frozenset(
    {"base_url", "extra_headers", "default_request_timeout_in_seconds", "max_retries"}
    | {"retry_backoff_initial", "retry_backoff_max"}
)
_USED_VIRTUAL_KEY = frozenset(
    {
        "id",
        "name",
        "value",
        "description",
        "is_active",
        "team_id",
        "customer_id",
        "budget_id",
        "budgets",
        "rate_limit_id",
    }
    | {"provider_configs"}
)
_REASONS: Mapping[str, str] = {
    "config_store": "settings live in finops.toml; what Bifrost's database holds is not in this file",
    "logs_store": "calls are kept in the ledger, see [ledger]",
    "vector_store": "configure the cache by hand",
    "encryption_key": "keys are stored as hashes only",
    "mcp": "the gateway runs no tools of its own",
    "plugins": "configure what they do by hand: cache, telemetry and guardrails have sections of their own",
    "framework": "see [prices]",
    "$schema": "",
}
_NO_COUNTERPART = "has no counterpart"


def translate(document: object) -> Draft:
    """Translate a parsed ``config.json``.

    Raises:
        NotThatKind: It has no ``providers``.
    """
    config = table(document)
    if not isinstance(config.get("providers"), dict):
        raise NotThatKind("no providers: this is not a config.json of Bifrost")
    draft = Draft()
    for name, value in table(config["providers"]).items():
        _provider(draft, name, table(value))
    draft.name_providers()
    _client(draft, table(config.get("client")))
    _Governance(draft, table(config.get("governance"))).translate()
    for section in config.keys() - {"providers", "client", "governance"}:
        if reason := _REASONS.get(section, _NO_COUNTERPART):
            draft.note(section, reason)
    return draft


def _provider(draft: Draft, name: str, value: Mapping[str, Any]) -> None:
    custom = table(value.get("custom_provider_config"))
    family = _FAMILIES.get(name, name)
    if custom:
        base = text(custom.get("base_provider_type"))
        if base not in _WIRES:
            draft.note(f"providers.{name}", f"its base {base!r} is no wire here")
            return
        family = name
    elif family not in BY_NAME:
        draft.note(f"providers.{name}", "this provider is not known here; give it a wire and a base_url")
        return
    settings = _settings(draft, name, value)
    if custom:
        settings = {"wire": _WIRES[text(custom.get("base_provider_type"))], **settings}
    keys = rows(value.get("keys"))
    if not keys:
        draft.provider(family, settings)
    for at, key in enumerate(keys):
        _key(draft, f"providers.{name}.keys[{at}]", family, settings, key)


def _settings(draft: Draft, name: str, value: Mapping[str, Any]) -> dict[str, Any]:
    """Return what all keys of a provider share."""
    network, pool = table(value.get("network_config")), table(value.get("concurrency_and_buffer_size"))
    for field in network.keys() - _USED_NETWORK:
        draft.note(f"providers.{name}.network_config.{field}", _NO_COUNTERPART)
    for field in value.keys() - _USED_PROVIDER:
        draft.note(f"providers.{name}.{field}", _NO_COUNTERPART)
    if "buffer_size" in pool:
        draft.note(f"providers.{name}.buffer_size", "as many calls may wait as `concurrency` allows at once")
    retries, total_s = number(network.get("max_retries")), number(network.get("default_request_timeout_in_seconds"))
    backoff = {
        "backoff_initial_s": _milliseconds(network.get("retry_backoff_initial")),
        "backoff_max_s": _milliseconds(network.get("retry_backoff_max")),
    }
    retry = {} if retries is None else {"max_attempts": max(1, min(MAX_ATTEMPTS, int(retries) + 1))}
    retry |= {field: pause for field, pause in backoff.items() if pause is not None}  # type: ignore[misc]
    return {
        "base_url": _base_url(name, text(network.get("base_url"))),
        "headers": {field: text(header) for field, header in table(network.get("extra_headers")).items()},
        "timeouts": {"total_s": total_s} if total_s else {},
        "retry": retry,
        "concurrency": number(pool.get("concurrency")) or None,
    }


def _base_url(name: str, url: str) -> str:
    """Bifrost's URLs end before the version; those of OpenAI's wire have it here."""
    wire = BY_NAME[name].wire if name in BY_NAME else "openai"
    if not url or url.startswith("env.") or wire != "openai" or name in CLOUDS:
        return url
    return url if re.search(r"/v\d+(/|$)", url) else f"{url.rstrip('/')}/v1"


def _milliseconds(value: object) -> float | None:
    """Return seconds for a number of milliseconds, or for a duration such as ``500ms`` or ``5s``."""
    found = text(value)
    unit = 1000.0
    if found.endswith("ms"):
        found = found.removesuffix("ms")
    elif found.endswith("s"):
        found, unit = found.removesuffix("s"), 1.0
    amount = number(found)
    return None if amount is None else amount / unit


def _key(draft: Draft, where: str, family: str, settings: Mapping[str, Any], key: Mapping[str, Any]) -> None:
    """Add a credential; one with an address of its own makes its provider another one."""
    cloud = next((table(key.get(name)) for name in _CLOUD_CONFIGS if table(key.get(name))), {})
    own = {
        "base_url": text(cloud.get("endpoint")) or text(cloud.get("url")) or settings.get("base_url"),
        "api_version": text(cloud.get("api_version")),
        "deployments": table(cloud.get("deployments")) or table(key.get("aliases")),
        "project": text(cloud.get("project_id")),
        "credentials": text(cloud.get("auth_credentials")),
        ("region" if family == "bedrock" else "location"): text(cloud.get("region")),
    }
    provider = draft.provider(family, {**settings, **own})
    for field in key.keys() - _USED_KEY - {*_CLOUD_CONFIGS, "aliases"}:
        draft.note(f"{where}.{field}", _NO_COUNTERPART)
    for field, variable in (("access_key", "AWS_ACCESS_KEY_ID"), ("secret_key", "AWS_SECRET_ACCESS_KEY")):
        if cloud.get(field):
            draft.note(f"{where}.{field}", f"set {variable} in the environment")
    value = text(key.get("value"))
    if not value:
        return
    weight = number(key.get("weight"))
    more = {"name": text(key.get("name"))} if key.get("name") else {}
    share = {} if weight in {None, 1} else {"weight": weight}
    for model in names(key.get("models")) or ["*"]:
        provider.add_key(value, model, **more, **share)


def _client(draft: Draft, client: Mapping[str, Any]) -> None:
    if limit := number(client.get("max_request_body_size_mb")):
        draft.put("server", "max_body_mb", limit)
    required = client.get("enforce_auth_on_inference", client.get("enforce_governance_header"))
    if isinstance(required, bool):
        draft.put("auth", "require_virtual_key", required)
    used = {"max_request_body_size_mb", "enforce_auth_on_inference", "enforce_governance_header"}
    for field in client.keys() - used:
        draft.note(f"client.{field}", _NO_COUNTERPART)


class _Governance:
    """Translates virtual keys, teams, customers and their limits, which refer to each other by id."""

    def __init__(self, draft: Draft, governance: Mapping[str, Any]) -> None:
        self._draft = draft
        self._governance = governance
        self._budgets = {text(row.get("id")): row for row in rows(governance.get("budgets"))}
        self._rates = {text(row.get("id")): row for row in rows(governance.get("rate_limits"))}
        self._names: dict[str, str] = {}

    def translate(self) -> None:
        """Add all tables to the draft."""
        for section, kind in (("customers", "customer"), ("teams", "team")):
            for row in rows(self._governance.get(section)):
                name = text(row.get("name")) or text(row.get("id"))
                self._names[f"{kind}:{text(row.get('id'))}"] = name
                if limits := self._limits(row, f"governance.{section} {name}"):
                    self._draft.put(section, name, limits)
        for row in rows(self._governance.get("virtual_keys")):
            self._virtual_key(row)
        known = {"customers", "teams", "virtual_keys", "budgets", "rate_limits"}
        for field in self._governance.keys() - known:
            self._draft.note(f"governance.{field}", _NO_COUNTERPART)

    def _virtual_key(self, row: Mapping[str, Any]) -> None:
        name = text(row.get("name")) or text(row.get("id"))
        where = f"governance.virtual_keys {name}"
        if row.get("is_active") is False:
            self._draft.note(where, "is not active")
            return
        for field in row.keys() - _USED_VIRTUAL_KEY:
            self._draft.note(f"{where}: {field}", _NO_COUNTERPART)
        models = self._models(where, rows(row.get("provider_configs")))
        labels = {kind: self._names.get(f"{kind}:{text(row.get(f'{kind}_id'))}", "") for kind in ("team", "customer")}
        value = text(row.get("value"))
        table_ = {"value": value, **labels, "models": models, **self._limits(row, where)}
        self._draft.put("virtual_keys", name, {field: item for field, item in table_.items() if item})

    def _models(self, where: str, configs: list[dict[str, Any]]) -> list[str]:
        """Return the patterns of models that a key may use."""
        found = []
        for config in configs:
            provider = text(config.get("provider"))
            allowed = names(config.get("allowed_models")) or ["*"]
            found += [f"{provider}/{model}" for model in allowed]
            for field in config.keys() - {"id", "provider", "allowed_models", "virtual_key_id"}:
                self._draft.note(
                    f"{where}: provider_configs.{field}", "limits and weights are those of the key or a route"
                )
        return found

    def _limits(self, row: Mapping[str, Any], where: str) -> dict[str, Any]:
        """Return the budgets and the rate limits that a row refers to, or holds."""
        ids = [text(row.get("budget_id")), *(text(budget.get("id")) for budget in rows(row.get("budgets")))]
        held = [self._budgets[name] for name in ids if name in self._budgets]
        held += [budget for budget in rows(row.get("budgets")) if "max_limit" in budget]
        budgets = []
        for budget in held:
            limit, window = number(budget.get("max_limit")), self._window(where, budget.get("reset_duration"), "1M")
            if limit is not None:
                budgets.append({"limit_usd": limit, "window": window})
        limits: dict[str, Any] = (
            {"budget": budgets[0]} if len(budgets) == 1 else {"budgets": budgets} if budgets else {}
        )
        rates = self._rate_limits(where, self._rates.get(text(row.get("rate_limit_id")), {}))
        return {**limits, **({"rate_limits": rates} if rates else {})}

    def _rate_limits(self, where: str, rate: Mapping[str, Any]) -> list[dict[str, Any]]:
        found = []
        for kind, field in (("request", "requests"), ("token", "tokens")):
            limit = number(rate.get(f"{kind}_max_limit"))
            if limit and limit > 0:
                found.append(
                    {field: int(limit), "window": self._window(where, rate.get(f"{kind}_reset_duration"), "1m")}
                )
        return found

    def _window(self, where: str, value: object, default: str) -> str:
        """Return a window of ours: by the calendar where there is one, else a rolling one."""
        found = _WINDOWS.fullmatch(text(value))
        if found is None or not 1 <= int(found[1]) <= 999:
            self._draft.note(f"{where}: window {text(value) or '-'}", f"is not known here; {default} is used")
            return default
        return f"1{found[2]}" if found[1] == "1" else f"rolling:{found[1]}{found[2]}"
