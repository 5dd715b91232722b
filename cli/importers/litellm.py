"""Translate LiteLLM's ``config.yaml`` (https://docs.litellm.ai/docs/proxy/configs)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cli.importers.draft import Draft, ProviderDraft
from cli.importers.fields import NotThatKind, names, number, rows, table, text

MAX_ATTEMPTS = 20
_MILLION = 1_000_000
# Prefix of a model to the provider here, and the variable that LiteLLM reads its key from where a deployment has none.
PROVIDERS: Mapping[str, tuple[str, str]] = {
    "openai": ("openai", "OPENAI_API_KEY"),
    "text-completion-openai": ("openai", "OPENAI_API_KEY"),
    "azure": ("azure", "AZURE_API_KEY"),
    "azure_text": ("azure", "AZURE_API_KEY"),
    "azure_ai": ("azure_ai", "AZURE_AI_API_KEY"),
    "anthropic": ("anthropic", "ANTHROPIC_API_KEY"),
    "gemini": ("gemini", "GEMINI_API_KEY"),
    "vertex_ai": ("vertex", ""),
    "vertex_ai_beta": ("vertex", ""),
    "bedrock": ("bedrock", ""),
    "bedrock_converse": ("bedrock", ""),
    "ollama": ("ollama", ""),
    "ollama_chat": ("ollama", ""),
    "hosted_vllm": ("vllm", ""),
    "vllm": ("vllm", ""),
    "lm_studio": ("lmstudio", ""),
    "groq": ("groq", "GROQ_API_KEY"),
    "mistral": ("mistral", "MISTRAL_API_KEY"),
    "codestral": ("mistral", "MISTRAL_API_KEY"),
    "openrouter": ("openrouter", "OPENROUTER_API_KEY"),
    "together_ai": ("together", "TOGETHERAI_API_KEY"),
    "fireworks_ai": ("fireworks", "FIREWORKS_API_KEY"),
    "deepseek": ("deepseek", "DEEPSEEK_API_KEY"),
    "xai": ("xai", "XAI_API_KEY"),
    "cerebras": ("cerebras", "CEREBRAS_API_KEY"),
    "perplexity": ("perplexity", "PERPLEXITYAI_API_KEY"),
    "nvidia_nim": ("nvidia", "NVIDIA_NIM_API_KEY"),
    "cohere": ("cohere", "COHERE_API_KEY"),
    "cohere_chat": ("cohere", "COHERE_API_KEY"),
    "deepinfra": ("deepinfra", "DEEPINFRA_API_KEY"),
    "sambanova": ("sambanova", "SAMBANOVA_API_KEY"),
    "hyperbolic": ("hyperbolic", "HYPERBOLIC_API_KEY"),
    "novita": ("novita", "NOVITA_API_KEY"),
    "moonshot": ("moonshot", "MOONSHOT_API_KEY"),
    "zai": ("zai", "ZAI_API_KEY"),
    "dashscope": ("dashscope", "DASHSCOPE_API_KEY"),
    "minimax": ("minimax", "MINIMAX_API_KEY"),
    "huggingface": ("huggingface", "HF_TOKEN"),
    "github": ("github", "GITHUB_API_KEY"),
    "databricks": ("databricks", "DATABRICKS_API_KEY"),
    "nebius": ("nebius", "NEBIUS_API_KEY"),
    "ai21": ("ai21", "AI21_API_KEY"),
    "vercel_ai_gateway": ("vercel", "VERCEL_AI_GATEWAY_API_KEY"),
    "openai_like": ("openai", ""),
    "custom_openai": ("openai", ""),
}
# Models without a prefix: LiteLLM knows their provider.
_PREFIXLESS: tuple[tuple[str, str], ...] = (("claude", "anthropic"), ("gemini", "vertex_ai"), ("command", "cohere"))
_STRATEGIES: Mapping[str, str] = {
    "simple-shuffle": "weighted",
    "latency-based-routing": "least_latency",
    "cost-based-routing": "least_cost",
}
_USED_PARAMS = frozenset(
    {
        "model",
        "custom_llm_provider",
        "api_base",
        "base_url",
        "api_key",
        "api_version",
        "vertex_project",
        "vertex_location",
    }
    | {"vertex_credentials", "aws_region_name", "extra_headers", "timeout", "stream_timeout", "max_retries", "weight"}
    | {"rpm", "tpm", "input_cost_per_token", "output_cost_per_token", "max_parallel_requests", "organization"}
)
_USED_INFO = frozenset({"id", "mode", "base_model", "db_model", "input_cost_per_token", "output_cost_per_token"})
_REASONS: Mapping[str, str] = {
    "order": "the targets of a route are chosen by weight, and the others are its fallbacks",
    "aws_access_key_id": "set AWS_ACCESS_KEY_ID in the environment",
    "aws_secret_access_key": "set AWS_SECRET_ACCESS_KEY in the environment",
    "aws_session_token": "set AWS_SESSION_TOKEN in the environment",
    "drop_params": "what a provider does not know is refused, or listed as dropped in the documentation",
    "set_verbose": "see [log]",
    "json_logs": "logs are JSON unless they go to a terminal",
    "cache": "configure the cache by hand",
    "cache_params": "configure the cache by hand",
    "success_callback": "see the metrics, the ledger and webhooks",
    "failure_callback": "see the metrics, the ledger and webhooks",
    "callbacks": "see the metrics, the ledger and webhooks",
    "alerting": "see [ledger] thresholds and [webhooks]",
    "database_url": "keys, teams and budgets of LiteLLM's database are not in this file: create them with finops keys",
    "store_model_in_db": "models stored in LiteLLM's database are not in this file",
    "context_window_fallbacks": "[fallbacks] are used when a context is too long, too: add these there",
    "content_policy_fallbacks": "add these to [fallbacks] where they should be used for any failure",
    "guardrails": "configure each endpoint as [guardrails.<name>]",
    "enable_pre_call_checks": "limits of models are checked by their providers",
}
_DEFAULT_REASON = "has no counterpart"


@dataclass(frozen=True, slots=True)
class Deployment:
    """One entry of ``model_list``.

    Attributes:
        group: The name that callers use.
        weight: Its share among those of its group; None: not given.
    """

    group: str
    provider: ProviderDraft
    model: str
    weight: float | None

    @property
    def target(self) -> str:
        """The model as it is called here."""
        return f"{self.provider.name}/{self.model}"


def translate(document: object) -> Draft:
    """Translate a parsed ``config.yaml``.

    Raises:
        NotThatKind: It has no ``model_list``.
    """
    config = table(document)
    if not isinstance(config.get("model_list"), list):
        raise NotThatKind("no model_list: this is not a config.yaml of LiteLLM")
    draft = Draft()
    entries = rows(config["model_list"])
    found = [_deployment(draft, entry, at) for at, entry in enumerate(entries)]
    draft.name_providers()
    deployments = [deployment for deployment in found if deployment is not None]
    settings, router = table(config.get("litellm_settings")), table(config.get("router_settings"))
    _routes(draft, deployments, text(router.get("routing_strategy")))
    _prices(draft, entries, found)
    _resilience(draft, {**settings, **router})
    _fallbacks(draft, settings, router, deployments)
    _aliases(draft, router)
    _server(draft, table(config.get("general_settings")), router)
    _rest(draft, config)
    return draft


def _deployment(draft: Draft, entry: Mapping[str, Any], at: int) -> Deployment | None:
    """Read one entry of ``model_list``; None if it names no provider that is known here."""
    params, group = table(entry.get("litellm_params")), text(entry.get("model_name"))
    where = f"model_list[{at}] {group}"
    prefix, model = _model(params)
    if not group or prefix not in PROVIDERS or not model:
        draft.note(where, f"the provider {prefix!r} is not known here" if group and model else "has no name or model")
        return None
    family, default_key = PROVIDERS[prefix]
    provider = draft.provider(family, _provider_table(family, params))
    if family != "bedrock":
        key = _reference(params.get("api_key")) or (f"env.{default_key}" if default_key else "")
        if key:
            provider.add_key(key, model)
    _note_params(draft, where, params, table(entry.get("model_info")))
    shares = (number(params.get(name)) for name in ("weight", "rpm", "tpm"))
    weight = next((share for share in shares if share is not None and 0 < share <= _MILLION), None)
    return Deployment(group, provider, model, weight)


def _model(params: Mapping[str, Any]) -> tuple[str, str]:
    """Return the prefix and the model that a deployment calls."""
    name, given = text(params.get("model")), text(params.get("custom_llm_provider"))
    prefix, slash, model = name.partition("/")
    if given:
        return given, model if slash and prefix == given else name
    if slash and (prefix in PROVIDERS or prefix != "openai"):
        return prefix, _bedrock_model(model) if prefix == "bedrock" else model
    return next((owner for start, owner in _PREFIXLESS if name.startswith(start)), "openai"), name


def _bedrock_model(model: str) -> str:
    """Drop what LiteLLM writes before a model of Bedrock: the operation, and the region."""
    *before, last = model.split("/")
    return last if all(part in {"converse", "invoke"} or part.count("-") == 2 for part in before) else model


def _provider_table(family: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a deployment that belong to its provider."""
    base_url = _reference(params.get("api_base")) or _reference(params.get("base_url"))
    if family == "azure" and not base_url:
        base_url = "env.AZURE_API_BASE"
    if family == "ollama" and base_url and not base_url.startswith("env."):
        base_url = base_url.rstrip("/").removesuffix("/v1") + "/v1"
    if family == "anthropic" and not base_url.startswith("env."):
        base_url = base_url.rstrip("/").removesuffix("/v1/messages").removesuffix("/v1")
    headers = {name: _reference(value) for name, value in table(params.get("extra_headers")).items()}
    if params.get("organization"):
        headers["openai-organization"] = _reference(params["organization"])
    timeouts = {"total_s": number(params.get("timeout")), "first_token_s": number(params.get("stream_timeout"))}
    retries = number(params.get("max_retries"))
    found: dict[str, Any] = {
        **({"wire": "ollama"} if family == "ollama" and base_url.startswith("env.") else {}),
        "base_url": base_url,
        "api_version": _reference(params.get("api_version")),
        "project": _reference(params.get("vertex_project")),
        "location": _reference(params.get("vertex_location")),
        "credentials": _reference(params.get("vertex_credentials")),
        "region": _reference(params.get("aws_region_name")),
        "headers": headers,
        "timeouts": {name: value for name, value in timeouts.items() if value},
        "retry": {} if retries is None else _retry(retries),
        "concurrency": number(params.get("max_parallel_requests")),
    }
    return found


def _retry(retries: float) -> dict[str, Any]:
    return {"max_attempts": max(1, min(MAX_ATTEMPTS, int(retries) + 1))}


def _note_params(draft: Draft, where: str, params: Mapping[str, Any], info: Mapping[str, Any]) -> None:
    for name in params.keys() - _USED_PARAMS:
        draft.note(f"{where}: {name}", _REASONS.get(name, "a default of requests: callers send it themselves"))
    for name in info.keys() - _USED_INFO:
        draft.note(f"{where}: model_info.{name}", _DEFAULT_REASON)
    if "rpm" in params or "tpm" in params:
        draft.note(f"{where}: rpm, tpm", "used as weights; limits are those of [virtual_keys], [models] and providers")


def _routes(draft: Draft, deployments: list[Deployment], strategy: str) -> None:
    """Add an alias for each group of one target, and a route for each group of several."""
    if strategy and strategy not in _STRATEGIES:
        draft.note(f"router_settings: routing_strategy {strategy}", "not known here; routes are weighted")
    groups: dict[str, list[Deployment]] = {}
    for deployment in deployments:
        groups.setdefault(deployment.group, []).append(deployment)
    for group, members in groups.items():
        if "*" in group or any("*" in member.model for member in members):
            for member in members:
                draft.note(f"model_list {group}", f"call these models as {member.provider.name}/<model>")
            continue
        weights: dict[str, float] = {}
        weighted = all(member.weight is not None for member in members)
        for member in members:
            share = member.weight if weighted and member.weight else 1
            weights[member.target] = weights.get(member.target, 0) + share
        _add_name(draft, group, weights, _STRATEGIES.get(strategy, "weighted"))


def _add_name(draft: Draft, group: str, weights: Mapping[str, float], strategy: str) -> None:
    targets = list(weights)
    if len(targets) > 1:
        named = [
            {"model": target, **({} if weights[target] == 1 else {"weight": weights[target]})} for target in targets
        ]
        short = [target["model"] if len(target) == 1 else target for target in named]
        draft.put("routes", group, {"strategy": strategy, "targets": short})
    elif targets[0] not in {group, f"openai/{group}"}:
        draft.put("aliases", group, targets[0])


def _prices(draft: Draft, entries: list[dict[str, Any]], found: list[Deployment | None]) -> None:
    for entry, deployment in zip(entries, found, strict=True):
        facts = {**table(entry.get("model_info")), **table(entry.get("litellm_params"))}
        rates = {kind: number(facts.get(f"{kind}_cost_per_token")) for kind in ("input", "output")}
        price = {kind: round(rate * _MILLION, 6) for kind, rate in rates.items() if rate is not None and rate >= 0}
        if deployment is not None and price:
            draft.put("prices", deployment.target, price)


def _resilience(draft: Draft, router: Mapping[str, Any]) -> None:
    """Give every provider the retries, timeouts and cooldowns that LiteLLM has once for all."""
    retries, total_s = number(router.get("num_retries")), number(router.get("timeout") or router.get("request_timeout"))
    fails, rest_s = number(router.get("allowed_fails")), number(router.get("cooldown_time"))
    breaker = {"consecutive_failures": None if fails is None else max(1, int(fails) + 1), "open_s": rest_s or None}
    for provider in draft.providers:
        if retries is not None:
            provider.table.setdefault("retry", _retry(retries))
        if total_s:
            provider.table["timeouts"] = {"total_s": total_s, **provider.table.get("timeouts", {})}
        if any(breaker.values()):
            provider.table["breaker"] = {name: value for name, value in breaker.items() if value}


def _fallbacks(
    draft: Draft, settings: Mapping[str, Any], router: Mapping[str, Any], deployments: list[Deployment]
) -> None:
    """Translate ``fallbacks`` and ``default_fallbacks``; models that the file does not define are noted."""
    known = {deployment.group for deployment in deployments} | table(router.get("model_group_alias")).keys()
    default = names(settings.get("default_fallbacks"))
    chains = {group: [name for name in default if name != group] for group in sorted(known) if default}
    for pairs in (settings.get("fallbacks"), router.get("fallbacks")):
        for pair in rows(pairs):
            chains.update({group: names(targets) for group, targets in pair.items()})
    for group, targets in chains.items():
        for name in targets:
            if name not in known:
                draft.note(f"fallbacks {group}", f"{name!r} is no model of this file")
        if usable := [name for name in targets if name in known and "*" not in name]:
            draft.put("fallbacks", group, [_called(name, deployments) for name in usable][:16])


def _called(group: str, deployments: list[Deployment]) -> str:
    """The name under which a group is called here: a group that is named like its model may have no alias."""
    members = {deployment.target for deployment in deployments if deployment.group == group}
    return next(iter(members)) if len(members) == 1 else group


def _aliases(draft: Draft, router: Mapping[str, Any]) -> None:
    for name, value in table(router.get("model_group_alias")).items():
        target = text(value) or text(table(value).get("model"))
        if target and target != name:
            draft.put("aliases", name, target)


def _server(draft: Draft, general: Mapping[str, Any], router: Mapping[str, Any]) -> None:
    if key := _reference(general.get("master_key")):
        draft.put("auth", "admin_key", key)
    if url := _reference(router.get("redis_url")):
        draft.put("redis", "url", url)
    elif router.get("redis_host"):
        draft.note("router_settings: redis_host", "set FINOPS_REDIS_URL to redis://:<password>@<host>:<port>/0")


_USED: Mapping[str, frozenset[str]] = {
    "litellm_settings": frozenset(
        {"num_retries", "request_timeout", "fallbacks", "default_fallbacks", "allowed_fails"}
    ),
    "router_settings": frozenset(
        {
            "routing_strategy",
            "num_retries",
            "timeout",
            "allowed_fails",
            "cooldown_time",
            "fallbacks",
            "model_group_alias",
        }
        | {"redis_url", "redis_host", "redis_port", "redis_password"}
    ),
    "general_settings": frozenset({"master_key"}),
}


def _rest(draft: Draft, config: Mapping[str, Any]) -> None:
    """Note everything that nothing above has read."""
    for section, used in _USED.items():
        for name in table(config.get(section)).keys() - used:
            draft.note(f"{section}: {name}", _REASONS.get(name, _DEFAULT_REASON))
    for name in table(config.get("environment_variables")):
        draft.note(f"environment_variables: {name}", "set it in the environment of the gateway")
    for section in config.keys() - _USED.keys() - {"model_list", "environment_variables"}:
        draft.note(section, _REASONS.get(section, _DEFAULT_REASON))


def _reference(value: object) -> str:
    """Return a value, with LiteLLM's ``os.environ/NAME`` as ``env.NAME``."""
    found = text(value)
    return f"env.{found.removeprefix('os.environ/')}" if found.startswith("os.environ/") else found
