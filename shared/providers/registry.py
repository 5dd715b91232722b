"""Every provider that is known by name: one row each. Adding one that speaks OpenAI's wire is adding a row."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from shared.errors import UnknownProvider
from shared.providers.base import Key, Provider
from shared.settings.model import KeySettings, ProviderSettings, Settings
from shared.wire.request_types import (
    CHAT,
    COMPLETIONS,
    EMBEDDINGS,
    IMAGE_GENERATIONS,
    MODERATIONS,
    REQUEST_TYPES,
    RESPONSES,
    SPEECH,
    TRANSCRIPTIONS,
    TRANSLATIONS,
    RequestType,
)

DEFAULT_PROVIDER = "openai"

# Where the key goes for those who speak a format at an address of their own.
_HOST_OF_WIRE = {"anthropic": "x-api-key", "gemini": "x-goog-api-key"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What is known of a provider before anything is configured.

    Attributes:
        base_url: Empty: it has none of its own (a server of the user's), so configuration must say it.
        key_env: The variable that holds its key; set, the provider is configured.
        url_env: The variable that says where it is; set, the provider is configured.
        offers: Its capabilities, beside chat; default none.
        source: Its API reference.
    """

    name: str
    title: str
    base_url: str = ""
    wire: str = "openai"
    host: str = "direct"
    key_env: str = ""
    url_env: str = ""
    offers: tuple[RequestType, ...] = ()
    source: str = ""

    @property
    def request_types(self) -> frozenset[str]:
        """Names of what it offers; chat always."""
        return frozenset({CHAT.name, *(offer.name for offer in self.offers)})


AUDIO_IN = (TRANSCRIPTIONS, TRANSLATIONS)
LOCAL = (RESPONSES, COMPLETIONS, EMBEDDINGS)

ROWS: tuple[Row, ...] = (
    Row(name="openai", title="OpenAI", base_url="https://api.openai.com/v1", key_env="OPENAI_API_KEY", url_env="OPENAI_BASE_URL",
        offers=REQUEST_TYPES, source="https://platform.openai.com/docs/api-reference"),
    Row(name="azure", title="Azure OpenAI", host="azure", key_env="AZURE_OPENAI_API_KEY", url_env="AZURE_OPENAI_ENDPOINT",
        offers=REQUEST_TYPES, source="https://learn.microsoft.com/azure/ai-foundry/openai/reference"),
    Row(name="anthropic", title="Anthropic", base_url="https://api.anthropic.com", wire="anthropic", host="x-api-key",
        key_env="ANTHROPIC_API_KEY", url_env="ANTHROPIC_BASE_URL", source="https://platform.claude.com/docs/en/api/messages"),
    Row(name="ollama", title="Ollama", base_url="http://127.0.0.1:11434/v1", url_env="OLLAMA_HOST",
        offers=LOCAL, source="https://docs.ollama.com/openai"),
    Row(name="groq", title="Groq", base_url="https://api.groq.com/openai/v1", key_env="GROQ_API_KEY",
        offers=(RESPONSES, SPEECH, *AUDIO_IN), source="https://console.groq.com/docs/api-reference"),
    Row(name="mistral", title="Mistral", base_url="https://api.mistral.ai/v1", key_env="MISTRAL_API_KEY",
        offers=(EMBEDDINGS, MODERATIONS, TRANSCRIPTIONS), source="https://docs.mistral.ai/api"),
    Row(name="openrouter", title="OpenRouter", base_url="https://openrouter.ai/api/v1", key_env="OPENROUTER_API_KEY",
        offers=(RESPONSES, COMPLETIONS, EMBEDDINGS), source="https://openrouter.ai/docs/api-reference"),
    Row(name="together", title="Together AI", base_url="https://api.together.xyz/v1", key_env="TOGETHER_API_KEY",
        offers=(COMPLETIONS, EMBEDDINGS, IMAGE_GENERATIONS, SPEECH, *AUDIO_IN), source="https://docs.together.ai/reference"),
    Row(name="fireworks", title="Fireworks AI", base_url="https://api.fireworks.ai/inference/v1", key_env="FIREWORKS_API_KEY",
        offers=(RESPONSES, COMPLETIONS, EMBEDDINGS), source="https://docs.fireworks.ai/api-reference"),
    Row(name="deepseek", title="DeepSeek", base_url="https://api.deepseek.com/v1", key_env="DEEPSEEK_API_KEY",
        source="https://api-docs.deepseek.com"),
    Row(name="xai", title="xAI", base_url="https://api.x.ai/v1", key_env="XAI_API_KEY",
        offers=(RESPONSES, COMPLETIONS, IMAGE_GENERATIONS), source="https://docs.x.ai/docs/api-reference"),
    Row(name="cerebras", title="Cerebras", base_url="https://api.cerebras.ai/v1", key_env="CEREBRAS_API_KEY",
        offers=(COMPLETIONS,), source="https://inference-docs.cerebras.ai/api-reference"),
    Row(name="perplexity", title="Perplexity", base_url="https://api.perplexity.ai", key_env="PERPLEXITY_API_KEY",
        source="https://docs.perplexity.ai/api-reference"),
    Row(name="nvidia", title="NVIDIA NIM", base_url="https://integrate.api.nvidia.com/v1", key_env="NVIDIA_API_KEY",
        offers=(COMPLETIONS, EMBEDDINGS), source="https://docs.api.nvidia.com/nim/reference"),
    Row(name="vllm", title="vLLM", base_url="http://127.0.0.1:8000/v1", key_env="VLLM_API_KEY", url_env="VLLM_BASE_URL",
        offers=(*LOCAL, *AUDIO_IN), source="https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html"),
    Row(name="sglang", title="SGLang", base_url="http://127.0.0.1:30000/v1", key_env="SGLANG_API_KEY", url_env="SGLANG_BASE_URL",
        offers=LOCAL, source="https://docs.sglang.ai/basic_usage/openai_api.html"),
    Row(name="lmstudio", title="LM Studio", base_url="http://127.0.0.1:1234/v1", url_env="LMSTUDIO_BASE_URL",
        offers=LOCAL, source="https://lmstudio.ai/docs/app/api/endpoints/openai"),
    Row(name="llama.cpp", title="llama.cpp", base_url="http://127.0.0.1:8081/v1", key_env="LLAMA_API_KEY", url_env="LLAMA_CPP_BASE_URL",
        offers=LOCAL, source="https://github.com/ggml-org/llama.cpp/tree/master/tools/server"),
)  # fmt: skip
BY_NAME: Mapping[str, Row] = {row.name: row for row in ROWS}


class Providers(Mapping[str, Provider]):
    """The configured providers, by name."""

    def __init__(self, providers: Mapping[str, Provider]) -> None:
        self._providers = dict(providers)

    def __getitem__(self, name: str) -> Provider:
        return self._providers[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._providers)

    def __len__(self) -> int:
        return len(self._providers)

    def resolve(self, model: str) -> tuple[Provider, str]:
        """Split ``provider/model``; without a slash the default provider's.

        Raises:
            UnknownProvider: The prefix names no configured provider.
        """
        prefix, slash, rest = model.partition("/")
        name, upstream_model = (prefix, rest) if slash else (DEFAULT_PROVIDER, model)
        provider = self._providers.get(name)
        if provider is None:
            raise UnknownProvider(self._unknown(name), param="model")
        if not upstream_model:
            raise UnknownProvider(f"The model {model!r} names a provider and no model.", param="model")
        return provider, upstream_model

    def _unknown(self, name: str) -> str:
        configured = ", ".join(sorted(self._providers)) or "none"
        row = BY_NAME.get(name)
        needs = " or ".join(env for env in (row.key_env, row.url_env) if env) if row else ""
        hint = f"set {needs}" if needs else f"add [providers.{name[:64]}] with its wire and base_url to finops.toml"
        return f"The provider {name[:64]!r} is not configured; configured are: {configured}. To add it, {hint}."


class IncompleteProvider(ValueError):
    """A provider's configuration lacks what its kind needs."""


def configured_providers(settings: Settings, environ: Mapping[str, str] = os.environ) -> Providers:
    """The providers that the configuration or the environment speaks of.

    Raises:
        IncompleteProvider: A provider cannot be called as configured.
    """
    names = dict.fromkeys(settings.providers)
    names.update(dict.fromkeys(row.name for row in ROWS if _in_environment(row, environ)))
    return Providers({name: _configure(name, settings.providers.get(name), environ) for name in names})


def _in_environment(row: Row, environ: Mapping[str, str]) -> bool:
    if row.host == "azure":
        return bool(environ.get(row.url_env))
    return bool(environ.get(row.key_env) or environ.get(row.url_env))


def _configure(name: str, said: ProviderSettings | None, environ: Mapping[str, str]) -> Provider:
    said = said or ProviderSettings()
    row = BY_NAME.get(name)
    if row is None:
        row = _custom_row(name, said)
    base_url = said.base_url or _url_from(row, environ) or row.base_url
    if not base_url:
        raise IncompleteProvider(
            f"providers.{name}: base_url is needed" + (f" (or {row.url_env})" if row.url_env else "")
        )
    return Provider(
        name=name,
        wire=said.wire or row.wire,
        host=row.host,
        base_url=base_url.rstrip("/"),
        keys=_keys(name, said.keys) or _environment_key(row, environ),
        request_types=row.request_types,
        timeouts=said.timeouts,
        retry=said.retry,
        concurrency=said.concurrency,
        headers=said.headers,
        models=said.models,
        api_version=said.api_version or "",
        deployments=said.deployments,
        project=said.project or "",
        location=said.location or "",
        region=said.region or "",
        credentials=said.credentials.get_secret_value() if said.credentials else "",
    )


def _custom_row(name: str, said: ProviderSettings) -> Row:
    """A provider of the user's own: it may offer all that its wire can say."""
    if "/" in name or not name.isprintable():
        raise IncompleteProvider(f"providers.{name}: a provider's name has no slash and only printable characters")
    if said.wire is None:
        raise IncompleteProvider(
            f'providers.{name}: not a well-known name, so say which wire it speaks, e.g. wire = "openai"; '
            f"well-known are: {', '.join(BY_NAME)}"
        )
    host = _HOST_OF_WIRE.get(said.wire, "direct")
    return Row(name=name, title=name, wire=said.wire, host=host, offers=REQUEST_TYPES)


def _url_from(row: Row, environ: Mapping[str, str]) -> str:
    url = environ.get(row.url_env, "") if row.url_env else ""
    if url and row.url_env == "OLLAMA_HOST":
        url = url if "://" in url else f"http://{url}"
        return url if url.rstrip("/").endswith("/v1") else f"{url.rstrip('/')}/v1"
    return url


def _keys(provider: str, said: tuple[KeySettings, ...]) -> tuple[Key, ...]:
    return tuple(
        Key(
            name=key.name or f"{provider}-{at}",
            value=key.value.get_secret_value(),
            weight=key.weight,
            models=key.models,
        )
        for at, key in enumerate(said, start=1)
    )


def _environment_key(row: Row, environ: Mapping[str, str]) -> tuple[Key, ...]:
    value = environ.get(row.key_env, "") if row.key_env else ""
    return (Key(name=row.key_env, value=value),) if value else ()
