"""The known providers, one row each. To add one that speaks OpenAI's wire, add a row."""

import difflib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from shared.errors import UnknownProvider
from shared.providers.base import Network, Provider, ProviderKey
from shared.providers.model_names import check_segments, model_of
from shared.settings.model import KeySettings, ProviderSettings, Settings
from shared.surfaces.request_types import (
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
UNPUBLISHED = ""

_VARIABLE = re.compile(r"\{(\w+)\}")
# Default host, which decides the key's header, of a custom provider by its wire.
_HOST_OF_WIRE = {"anthropic": "x-api-key", "gemini": "x-goog-api-key", "bedrock": "bedrock"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderRow:
    """Static facts of a provider.

    Attributes:
        base_url: Names in braces are variables of the environment. Empty: the configuration must set it (a server of
            the user's), or the host derives it from the address.
        key_env: The variable that holds its key; set, with the variables of ``base_url``, the provider is configured.
        url_env: The variable that holds its URL; set, the provider is configured.
        address: Fields that its host derives the URL from (``project``, ``location``, ``region``), with the variables
            that hold them.
        configured_by: Sets of variables, each of which configures the provider. Default: as above.
        offers: Its capabilities besides chat; default none.
        batches: Whether it has files and batches as OpenAI has them.
        flex: Whether it has the service tier ``flex`` as OpenAI has it.
        stream_usage: Whether it knows ``stream_options.include_usage``; others report usage unasked, or not at all.
        strict: Whether it refuses request fields beyond OpenAI's; others who speak the format often know more.
        prices: Its id in the data of ``genai-prices``; ``UNPUBLISHED``: that data lacks it, so only ``[prices]`` can
            price its models and a budget in USD does not bind the others; None: see ``free``.
        free: Whether calls cost nothing: a server that runs on the operator's own machine.
        source: Its API reference.
    """

    name: str
    title: str
    base_url: str = ""
    wire: str = "openai"
    host: str = "direct"
    key_env: str = ""
    url_env: str = ""
    address: tuple[tuple[str, tuple[str, ...]], ...] = ()
    configured_by: tuple[tuple[str, ...], ...] = ()
    offers: tuple[RequestType, ...] = ()
    batches: bool = False
    flex: bool = False
    stream_usage: bool = False
    strict: bool = False
    prices: str | None = None
    free: bool = False
    source: str = ""

    @property
    def url_variables(self) -> tuple[str, ...]:
        """The variables in ``base_url``."""
        return tuple(_VARIABLE.findall(self.base_url))

    @property
    def variables(self) -> tuple[tuple[str, ...], ...]:
        """Sets of variables, each enough to configure it."""
        if self.configured_by:
            return self.configured_by
        with_key = ((self.key_env, *self.url_variables),) if self.key_env else ()
        return with_key + (((self.url_env,),) if self.url_env else ())

    @property
    def request_types(self) -> frozenset[str]:
        """Names of the request types that it offers; chat always."""
        return frozenset({CHAT.name, *(offer.name for offer in self.offers)})


AUDIO_IN = (TRANSCRIPTIONS, TRANSLATIONS)
LOCAL = (RESPONSES, COMPLETIONS, EMBEDDINGS)
REGION = (("region", ("AWS_REGION", "AWS_DEFAULT_REGION")),)
PROJECT = (
    ("project", ("VERTEX_PROJECT", "GOOGLE_CLOUD_PROJECT")),
    ("location", ("VERTEX_LOCATION", "GOOGLE_CLOUD_LOCATION")),
)

ROWS: tuple[ProviderRow, ...] = (
    ProviderRow(name="openai", prices="openai", title="OpenAI", base_url="https://api.openai.com/v1", key_env="OPENAI_API_KEY", url_env="OPENAI_BASE_URL",
        offers=REQUEST_TYPES, batches=True, flex=True, stream_usage=True, strict=True, source="https://platform.openai.com/docs/api-reference"),
    ProviderRow(name="azure", prices="azure", title="Azure OpenAI", host="azure", key_env="AZURE_OPENAI_API_KEY", url_env="AZURE_OPENAI_ENDPOINT",
        configured_by=(("AZURE_OPENAI_ENDPOINT", "AZURE_OPENAI_API_KEY"), ("AZURE_OPENAI_ENDPOINT",)), offers=REQUEST_TYPES, batches=True, stream_usage=True, strict=True, source="https://learn.microsoft.com/azure/ai-foundry/openai/reference"),
    ProviderRow(name="anthropic", prices="anthropic", title="Anthropic", base_url="https://api.anthropic.com", wire="anthropic", host="x-api-key",
        key_env="ANTHROPIC_API_KEY", url_env="ANTHROPIC_BASE_URL", source="https://platform.claude.com/docs/en/api/messages"),
    ProviderRow(name="gemini", prices="google", title="Google Gemini", base_url="https://generativelanguage.googleapis.com/v1beta", wire="gemini", host="x-goog-api-key",
        key_env="GEMINI_API_KEY", offers=(EMBEDDINGS,), source="https://ai.google.dev/api"),
    ProviderRow(name="vertex", prices="google", title="Google Vertex AI", wire="vertex", host="vertex", address=PROJECT,
        configured_by=(("VERTEX_PROJECT",), ("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CLOUD_PROJECT")),
        offers=(EMBEDDINGS,), source="https://cloud.google.com/vertex-ai/generative-ai/docs/reference/rest"),
    ProviderRow(name="bedrock", prices="aws", title="Amazon Bedrock", wire="bedrock", host="bedrock", key_env="AWS_BEARER_TOKEN_BEDROCK", address=REGION,
        configured_by=tuple((who, where) for who in ("AWS_BEARER_TOKEN_BEDROCK", "AWS_ACCESS_KEY_ID") for where in REGION[0][1]),
        source="https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html"),
    ProviderRow(name="ollama", free=True, title="Ollama", base_url="http://127.0.0.1:11434/v1", url_env="OLLAMA_HOST",
        offers=LOCAL, stream_usage=True, source="https://docs.ollama.com/openai"),
    ProviderRow(name="groq", prices="groq", title="Groq", base_url="https://api.groq.com/openai/v1", key_env="GROQ_API_KEY",
        offers=(RESPONSES, SPEECH, *AUDIO_IN), stream_usage=True, source="https://console.groq.com/docs/api-reference"),
    ProviderRow(name="mistral", prices="mistral", title="Mistral", base_url="https://api.mistral.ai/v1", key_env="MISTRAL_API_KEY",
        offers=(EMBEDDINGS, MODERATIONS, TRANSCRIPTIONS), source="https://docs.mistral.ai/api"),
    ProviderRow(name="openrouter", prices="openrouter", title="OpenRouter", base_url="https://openrouter.ai/api/v1", key_env="OPENROUTER_API_KEY",
        offers=(RESPONSES, COMPLETIONS, EMBEDDINGS), stream_usage=True, source="https://openrouter.ai/docs/api-reference"),
    ProviderRow(name="together", prices="together", title="Together AI", base_url="https://api.together.xyz/v1", key_env="TOGETHER_API_KEY",
        offers=(COMPLETIONS, EMBEDDINGS, IMAGE_GENERATIONS, SPEECH, *AUDIO_IN), stream_usage=True, source="https://docs.together.ai/reference"),
    ProviderRow(name="fireworks", prices="fireworks", title="Fireworks AI", base_url="https://api.fireworks.ai/inference/v1", key_env="FIREWORKS_API_KEY",
        offers=(RESPONSES, COMPLETIONS, EMBEDDINGS), stream_usage=True, source="https://docs.fireworks.ai/api-reference"),
    ProviderRow(name="deepseek", prices="deepseek", title="DeepSeek", base_url="https://api.deepseek.com/v1", key_env="DEEPSEEK_API_KEY",
        stream_usage=True, source="https://api-docs.deepseek.com"),
    ProviderRow(name="xai", prices="x-ai", title="xAI", base_url="https://api.x.ai/v1", key_env="XAI_API_KEY",
        offers=(RESPONSES, COMPLETIONS, IMAGE_GENERATIONS), stream_usage=True, source="https://docs.x.ai/docs/api-reference"),
    ProviderRow(name="cerebras", prices="cerebras", title="Cerebras", base_url="https://api.cerebras.ai/v1", key_env="CEREBRAS_API_KEY",
        offers=(COMPLETIONS,), stream_usage=True, source="https://inference-docs.cerebras.ai/api-reference"),
    ProviderRow(name="perplexity", prices="perplexity", title="Perplexity", base_url="https://api.perplexity.ai", key_env="PERPLEXITY_API_KEY",
        source="https://docs.perplexity.ai/api-reference"),
    ProviderRow(name="nvidia", prices=UNPUBLISHED, title="NVIDIA NIM", base_url="https://integrate.api.nvidia.com/v1", key_env="NVIDIA_API_KEY",
        offers=(COMPLETIONS, EMBEDDINGS), stream_usage=True, source="https://docs.api.nvidia.com/nim/reference"),
    ProviderRow(name="cohere", prices="cohere", title="Cohere", base_url="https://api.cohere.ai/compatibility/v1", key_env="COHERE_API_KEY",
        offers=(EMBEDDINGS,), source="https://docs.cohere.com/docs/compatibility-api"),
    ProviderRow(name="deepinfra", prices=UNPUBLISHED, title="DeepInfra", base_url="https://api.deepinfra.com/v1/openai", key_env="DEEPINFRA_API_KEY",
        offers=(COMPLETIONS, EMBEDDINGS), stream_usage=True, source="https://deepinfra.com/docs/openai_api"),
    ProviderRow(name="sambanova", prices=UNPUBLISHED, title="SambaNova", base_url="https://api.sambanova.ai/v1", key_env="SAMBANOVA_API_KEY",
        offers=(COMPLETIONS, EMBEDDINGS, *AUDIO_IN), stream_usage=True, source="https://docs.sambanova.ai/docs/en/features/openai-compatibility"),
    ProviderRow(name="hyperbolic", prices=UNPUBLISHED, title="Hyperbolic", base_url="https://api.hyperbolic.xyz/v1", key_env="HYPERBOLIC_API_KEY",
        offers=(COMPLETIONS,), source="https://docs.hyperbolic.xyz/docs/rest-api"),
    ProviderRow(name="novita", prices="novita", title="Novita AI", base_url="https://api.novita.ai/openai/v1", key_env="NOVITA_API_KEY",
        offers=(COMPLETIONS, EMBEDDINGS), stream_usage=True, source="https://novita.ai/docs/guides/llm-api"),
    ProviderRow(name="moonshot", prices="moonshotai", title="Moonshot AI", base_url="https://api.moonshot.ai/v1", key_env="MOONSHOT_API_KEY", url_env="MOONSHOT_BASE_URL",
        stream_usage=True, source="https://platform.moonshot.ai/docs/api/chat"),
    ProviderRow(name="zai", prices="zai", title="Z.ai", base_url="https://api.z.ai/api/paas/v4", key_env="ZAI_API_KEY",
        source="https://docs.z.ai/api-reference/introduction"),
    ProviderRow(name="zhipu", prices="zhipuai", title="Zhipu AI (BigModel)", base_url="https://open.bigmodel.cn/api/paas/v4", key_env="ZHIPUAI_API_KEY",
        offers=(EMBEDDINGS,), source="https://docs.bigmodel.cn/api-reference"),
    ProviderRow(name="dashscope", prices=UNPUBLISHED, title="Alibaba Cloud Model Studio (Qwen)", base_url="https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
        key_env="DASHSCOPE_API_KEY", url_env="DASHSCOPE_BASE_URL", offers=(EMBEDDINGS,),
        stream_usage=True, source="https://www.alibabacloud.com/help/en/model-studio/compatibility-of-openai-with-dashscope"),
    ProviderRow(name="minimax", prices="minimax", title="MiniMax", base_url="https://api.minimax.io/v1", key_env="MINIMAX_API_KEY", url_env="MINIMAX_BASE_URL",
        source="https://platform.minimax.io/docs/api-reference/text-openai-api"),
    ProviderRow(name="siliconflow", prices=UNPUBLISHED, title="SiliconFlow", base_url="https://api.siliconflow.com/v1", key_env="SILICONFLOW_API_KEY", url_env="SILICONFLOW_BASE_URL",
        offers=(EMBEDDINGS,), stream_usage=True, source="https://docs.siliconflow.com/en/api-reference"),
    ProviderRow(name="huggingface", prices=UNPUBLISHED, title="Hugging Face Inference Providers", base_url="https://router.huggingface.co/v1", key_env="HF_TOKEN",
        offers=(RESPONSES,), stream_usage=True, source="https://huggingface.co/docs/inference-providers/index"),
    ProviderRow(name="github", prices=UNPUBLISHED, title="GitHub Models", base_url="https://models.github.ai/inference", key_env="GITHUB_API_KEY",
        offers=(EMBEDDINGS,), stream_usage=True, source="https://docs.github.com/en/rest/models/inference"),
    ProviderRow(name="cloudflare", prices="cloudflare", title="Cloudflare Workers AI", base_url="https://api.cloudflare.com/client/v4/accounts/{CLOUDFLARE_ACCOUNT_ID}/ai/v1",
        key_env="CLOUDFLARE_API_TOKEN", offers=(EMBEDDINGS,),
        source="https://developers.cloudflare.com/workers-ai/configuration/open-ai-compatibility"),
    ProviderRow(name="databricks", prices="databricks", title="Databricks", base_url="{DATABRICKS_HOST}/serving-endpoints", key_env="DATABRICKS_TOKEN",
        offers=(EMBEDDINGS,), stream_usage=True, source="https://docs.databricks.com/aws/en/machine-learning/model-serving/score-foundation-models"),
    ProviderRow(name="baseten", prices="baseten", title="Baseten", base_url="https://inference.baseten.co/v1", key_env="BASETEN_API_KEY",
        stream_usage=True, source="https://docs.baseten.co/inference/model-apis/overview"),
    ProviderRow(name="nebius", prices=UNPUBLISHED, title="Nebius Token Factory", base_url="https://api.tokenfactory.nebius.com/v1", key_env="NEBIUS_API_KEY",
        offers=(COMPLETIONS, EMBEDDINGS), stream_usage=True, source="https://docs.tokenfactory.nebius.com/api-reference/introduction"),
    ProviderRow(name="scaleway", prices=UNPUBLISHED, title="Scaleway", base_url="https://api.scaleway.ai/v1", key_env="SCW_SECRET_KEY",
        offers=(EMBEDDINGS, TRANSCRIPTIONS), stream_usage=True, source="https://www.scaleway.com/en/developers/api/generative-apis"),
    ProviderRow(name="ovhcloud", prices="ovhcloud", title="OVHcloud AI Endpoints", base_url="https://oai.endpoints.kepler.ai.cloud.ovh.net/v1", key_env="OVH_AI_ENDPOINTS_ACCESS_TOKEN",
        offers=(EMBEDDINGS,), stream_usage=True, source="https://help.ovhcloud.com/csm/en-public-cloud-ai-endpoints-capabilities"),
    ProviderRow(name="ai21", prices=UNPUBLISHED, title="AI21 Labs", base_url="https://api.ai21.com/studio/v1", key_env="AI21_API_KEY",
        source="https://docs.ai21.com/reference/jamba-1-6-api-ref"),
    ProviderRow(name="upstage", prices=UNPUBLISHED, title="Upstage", base_url="https://api.upstage.ai/v1", key_env="UPSTAGE_API_KEY",
        offers=(EMBEDDINGS,), source="https://console.upstage.ai/api/chat"),
    ProviderRow(name="vercel", prices=UNPUBLISHED, title="Vercel AI Gateway", base_url="https://ai-gateway.vercel.sh/v1", key_env="AI_GATEWAY_API_KEY",
        offers=(EMBEDDINGS,), stream_usage=True, source="https://vercel.com/docs/ai-gateway/openai-compat"),
    ProviderRow(name="vllm", free=True, title="vLLM", base_url="http://127.0.0.1:8000/v1", key_env="VLLM_API_KEY", url_env="VLLM_BASE_URL",
        offers=(*LOCAL, *AUDIO_IN), stream_usage=True, source="https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html"),
    ProviderRow(name="sglang", free=True, title="SGLang", base_url="http://127.0.0.1:30000/v1", key_env="SGLANG_API_KEY", url_env="SGLANG_BASE_URL",
        offers=LOCAL, stream_usage=True, source="https://docs.sglang.ai/basic_usage/openai_api.html"),
    ProviderRow(name="lmstudio", free=True, title="LM Studio", base_url="http://127.0.0.1:1234/v1", url_env="LMSTUDIO_BASE_URL",
        offers=LOCAL, stream_usage=True, source="https://lmstudio.ai/docs/app/api/endpoints/openai"),
    ProviderRow(name="llama.cpp", free=True, title="llama.cpp", base_url="http://127.0.0.1:8081/v1", key_env="LLAMA_API_KEY", url_env="LLAMA_CPP_BASE_URL",
        offers=LOCAL, stream_usage=True, source="https://github.com/ggml-org/llama.cpp/tree/master/tools/server"),
)  # fmt: skip
BY_NAME: Mapping[str, ProviderRow] = {row.name: row for row in ROWS}


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

        A deployment's own name stands for its model, whose rules and prices then count.

        Raises:
            UnknownProvider: The prefix names no configured provider.
            InvalidRequest: The name is not in its canonical form.
        """
        prefix, slash, rest = model.partition("/")
        name, upstream_model = (prefix, rest) if slash else (DEFAULT_PROVIDER, model)
        provider = self._providers.get(name)
        if provider is None:
            raise UnknownProvider(self.unknown(name), param="model")
        if not upstream_model:
            raise UnknownProvider(
                f"The model {model!r} names a provider but no model. Write provider/model.", param="model"
            )
        if upstream_model[0].isspace() or "/" in upstream_model:
            check_segments(model, upstream_model)
        return provider, model_of(provider, upstream_model) if provider.deployments else upstream_model

    def unknown(self, name: str) -> str:
        """Describe an unknown provider's name: what is configured, what was probably meant, what to do."""
        configured = ", ".join(sorted(self._providers)) or "none"
        row = BY_NAME.get(name)
        needs = " or ".join(" and ".join(names) for names in row.variables) if row else ""
        hint = f"set {needs}" if needs else f"add [providers.{name[:64]}] with its wire and base_url to finops.toml"
        near = difflib.get_close_matches(name[:64], [*self._providers, *BY_NAME], n=1, cutoff=0.75) if not row else []
        meant = f" Did you mean {near[0]!r}?" if near else ""
        return f"Unknown provider {name[:64]!r}. Configured: {configured}.{meant} To add it, {hint}."


def rows_of(settings: Settings) -> dict[str, ProviderRow]:
    """Every name that has a row: the registry's, and the configured further accounts of a cloud."""
    accounts = {name: each.host for name, each in settings.providers.items() if name not in BY_NAME and each.host}
    return {**BY_NAME, **{name: BY_NAME[host] for name, host in accounts.items()}}


class IncompleteProvider(ValueError):
    """A provider's configuration lacks what its kind needs."""


def configured_providers(settings: Settings, environ: Mapping[str, str] = os.environ) -> Providers:
    """Build the providers that the configuration or the environment configures.

    Raises:
        IncompleteProvider: A provider's configuration lacks something.
    """
    names = dict.fromkeys(settings.providers)
    names.update(dict.fromkeys(row.name for row in ROWS if _in_environment(row, environ)))
    return Providers({name: _configure(name, settings.providers.get(name), environ) for name in names})


def _in_environment(row: ProviderRow, environ: Mapping[str, str]) -> bool:
    return any(all(environ.get(name) for name in names) for names in row.variables)


def _configure(name: str, settings: ProviderSettings | None, environ: Mapping[str, str]) -> Provider:
    settings = settings or ProviderSettings()
    row = BY_NAME.get(name) or _custom_row(name, settings)
    if settings.host not in {None, row.host}:
        raise IncompleteProvider(f"providers.{name}: host is only for custom names; {name!r} has its own")
    wire = settings.wire or row.wire
    address = {field: _address_part(field, variables, settings, environ) for field, variables in row.address}
    missing = [field for field in address if field != "location" and not address[field]]
    if missing:
        raise IncompleteProvider(f"providers.{name}: {missing[0]} is required (or {dict(row.address)[missing[0]][0]})")
    return Provider(
        name=name,
        wire=wire,
        host=row.host,
        base_url=_base_url(name, row, settings, environ, wire),
        keys=_keys(name, settings.keys) or _environment_key(row, environ),
        request_types=row.request_types,
        batches=row.batches if settings.batches is None else settings.batches,
        flex=row.flex if settings.flex is None else settings.flex,
        strict=row.strict,
        stream_usage=row.stream_usage if settings.stream_usage is None else settings.stream_usage,
        timeouts=settings.timeouts,
        retry=settings.retry,
        breaker=settings.breaker,
        concurrency=settings.concurrency,
        headers=settings.headers,
        models=settings.models,
        api_version=settings.api_version or "",
        deployments=settings.deployments,
        project=address.get("project", settings.project or ""),
        location=address.get("location", settings.location or ""),
        region=address.get("region", settings.region or ""),
        credentials=settings.credentials.get_secret_value() if settings.credentials else "",
        network=Network(
            proxy=settings.proxy or "",
            ca_file=settings.ca_file or "",
            client_cert=settings.client_cert or "",
            client_key=settings.client_key or "",
        ),
    )


def _address_part(
    field: str, variables: tuple[str, ...], settings: ProviderSettings, environ: Mapping[str, str]
) -> str:
    value: str | None = getattr(settings, field)
    return value or next((environ[name] for name in variables if environ.get(name)), "")


def _base_url(name: str, row: ProviderRow, settings: ProviderSettings, environ: Mapping[str, str], wire: str) -> str:
    """The provider's URL; empty where its host derives it.

    Raises:
        IncompleteProvider: It is not configured.
    """
    url = settings.base_url or _url_from(row, environ)
    if not url:
        unset = [variable for variable in row.url_variables if not environ.get(variable)]
        if unset or not (row.base_url or row.address):
            hint = unset[0] if unset else row.url_env
            raise IncompleteProvider(f"providers.{name}: base_url is required" + (f" (or {hint})" if hint else ""))
        url = _VARIABLE.sub(lambda variable: environ[variable[1]].rstrip("/"), row.base_url)
    url = url.rstrip("/")
    # The native API of Ollama is beside its OpenAI endpoint, not below it.
    return url.removesuffix("/v1") if wire == "ollama" else url


def _custom_row(name: str, settings: ProviderSettings) -> ProviderRow:
    """The row of a custom provider: it may offer everything that its wire supports."""
    if "/" in name or not name.isprintable():
        raise IncompleteProvider(
            f"providers.{name}: a provider's name must have no slash and only printable characters"
        )
    if settings.host is not None:
        return _further_account(name, settings.host, settings)
    if settings.wire is None:
        raise IncompleteProvider(
            f'providers.{name}: unknown provider, so set its wire, e.g. wire = "openai". '
            f"Known providers: {', '.join(BY_NAME)}"
        )
    host = _HOST_OF_WIRE.get(settings.wire, "direct")
    address = REGION if host == "bedrock" else ()
    return ProviderRow(
        name=name, title=name, wire=settings.wire, host=host, address=address, offers=REQUEST_TYPES, stream_usage=True
    )


def _further_account(name: str, host: str, settings: ProviderSettings) -> ProviderRow:
    """The row of another account or region of a known cloud; the environment configures only the first."""
    cloud = BY_NAME[host]
    if settings.wire not in {None, cloud.wire}:
        raise IncompleteProvider(f'providers.{name}: host = "{host}" sets the wire already; remove wire')
    return replace(cloud, name=name, key_env="", url_env="", configured_by=())


def _url_from(row: ProviderRow, environ: Mapping[str, str]) -> str:
    url = environ.get(row.url_env, "") if row.url_env else ""
    if url and row.url_env == "OLLAMA_HOST":
        url = url if "://" in url else f"http://{url}"
        return url if url.rstrip("/").endswith("/v1") else f"{url.rstrip('/')}/v1"
    return url


def _keys(provider: str, settings: tuple[KeySettings, ...]) -> tuple[ProviderKey, ...]:
    return tuple(
        ProviderKey(
            name=key.name or f"{provider}-{at}",
            value=key.value.get_secret_value(),
            weight=key.weight,
            models=key.models,
        )
        for at, key in enumerate(settings, start=1)
    )


def _environment_key(row: ProviderRow, environ: Mapping[str, str]) -> tuple[ProviderKey, ...]:
    value = environ.get(row.key_env, "") if row.key_env else ""
    return (ProviderKey(name=row.key_env, value=value),) if value else ()
