"""The meaning of every setting, as the documentation prints it.

A section may instead describe its fields under ``Attributes:`` in its docstring.
"""

import inspect
import re
from collections.abc import Mapping

from pydantic import BaseModel

_WINDOW = "`1m`, `1h`, `1d`, `1w`, `1M` by the calendar (UTC), or `rolling:<number><unit>`"
_EXHAUSTED = "`reject` refuses what exceeds the limit; `park` lets jobs wait for the next window"

# By the name of the section's class.
MEANINGS: Mapping[str, Mapping[str, str]] = {
    "RedisSettings": {
        "url": "URL of the job store; without it `finops serve` starts one of its own",
        "allow_eviction": "start although the store may evict keys, and lose jobs, when its memory is full",
        "max_memory_mb": "memory limit of the embedded store; none: no limit",
        "shards": "job engines that the jobs are spread over; for life once it is more than 1",
    },
    "ServerSettings": {
        "host": "address to listen on",
        "port": "port to listen on; 0: any free one",
        "max_body_mb": "largest request body; larger ones are 413",
        "max_header_kb": "request line and headers together; more is 431",
        "max_headers": "number of headers of a request; more is 431",
        "max_connections": "connections of a process; more are answered with 503",
        "max_inflight_mb": "bytes of request bodies that a process holds at once; more is 503",
        "header_timeout_s": "time in which the headers of a request must arrive",
        "body_stall_s": "a body that makes no progress for so long is 408",
        "write_stall_s": "a connection that takes nothing of its answer for so long is closed",
        "shutdown_grace_s": "how long running requests may continue after a stop signal",
        "allow_private_network": "webhooks may call private addresses, and http:// URLs",
        "trusted_proxies": "addresses and networks of reverse proxies whose `X-Forwarded-For` is believed",
        "metrics_auth": "whether `/metrics` and the details of `/health` need the admin key; `auto`: where public",
        "allow_open": "listen at a public address although no virtual key is required",
        "max_total_s": "longest time of a call, with all its attempts and fallbacks",
        "max_answer_mb": "largest answer of a provider; larger ones are 502",
        "max_json_values": "values in a JSON body of more than 128 KiB; more is 400",
        "max_answers_mb": "answers of providers that a process reads at once; more is 503",
    },
    "AuthSettings": {
        "require_virtual_key": "`auto`: calls need a virtual key as soon as one exists; `true`, `false`: always, never",
        "admin_key": "the key for `/api` and the console; without it `finops serve` creates one",
        "monitoring_token": "reads `/metrics` and `/api/queue/scale` and nothing else: for Prometheus and autoscalers",
        "oidc": "an OpenID provider at which people sign in",
    },
    "OidcSettings": {
        "issuer": "the provider's address, as its metadata have it",
        "client_id": "this gateway's name at the provider",
        "client_secret": "its secret; without one it is a public client (PKCE is used either way)",
        "scopes": "what is asked for",
        "role_claim": "the claim that has a person's roles or groups; a path such as `realm_access.roles` works",
        "roles": "the values of that claim that give a role here; the strongest one counts",
        "default_role": "the role of a person whose claims give none; without it they are refused",
        "redirect_uri": "`https://<gateway>/ui/login/callback`, where a proxy in front ends TLS",
    },
    "JobSettings": {
        "result_ttl_s": "how long a result is kept after completion, unless the caller says otherwise",
        "max_result_ttl_s": "longest time that a caller may ask for",
        "max_queued": "waiting jobs of all callers; more are 429 `queue_full`",
        "max_queued_per_key": "waiting jobs of one virtual key; more are 429 `queue_full`",
        "max_attempts": "runs of a job whose worker dies, before it goes to the dead-letter list",
        "max_run_s": "longest run of a job",
        "lease_s": "a worker that does not renew its lease for so long has lost its jobs",
        "concurrency": "jobs that a worker runs at once",
        "shutdown_grace_s": "how long running jobs may continue after a stop signal; then they go back to the queue",
        "durability": "when a submit is answered: `everysec` at once, `fsync` once it is on disk, `replicated` once "
        "replicas have it",
        "min_replicas": "replicas that must have a submit, with `replicated`",
        "max_result_mb": "largest result that is stored; larger ones fail the job",
        "max_stored_mb": "request bodies, results and stored responses of one caller; more is 429 `storage_full`",
        "stream_output": "record deltas while a job runs, for its event stream",
        "compress_min_kb": "smallest body that is compressed in the store; 0: none",
    },
    "BlobSettings": {
        "url": "where large bodies are kept instead of Redis: `s3://`, `gs://`, `az://` or `file:///`",
        "min_kb": "request bodies, results and file parts above it are kept there",
        "options": "options of the object store's client that the environment does not give",
    },
    "FileSettings": {
        "max_mb": "largest file",
        "max_stored_mb_per_key": "files of one virtual key together",
        "ttl_s": "how long a file is kept",
    },
    "LogSettings": {
        "level": "least severe level that is logged: `debug`, `info`, `warning` or `error`",
        "format": "`json` or `text`; on a terminal `finops serve` uses text",
        "requests": "log a line for each request",
        "content": "keep the request and the answer of each call in the ledger, for debugging",
        "redact": "regular expressions whose matches are replaced in what `content` keeps",
    },
    "RouteSettings": {"strategy": "how a target is chosen: `weighted`, `least_latency` or `least_cost`"},
    "RouteTargetSettings": {
        "model": "a model that the name stands for, as `provider/model`",
        "weight": "its share of the calls, with `weighted`",
    },
    "BudgetSettings": {"limit_usd": "USD in each window", "window": _WINDOW, "on_exhausted": _EXHAUSTED},
    "RateLimitSettings": {
        "requests": "calls in each window",
        "tokens": "tokens in each window, input and output together",
        "window": _WINDOW,
        "on_exhausted": _EXHAUSTED,
    },
    "ProviderSettings": {
        "wire": "API format that it speaks: `openai`, `anthropic`, `gemini`, `ollama` or `bedrock`; required for names "
        "of your own",
        "host": "for a further account of a cloud: `azure`, `vertex` or `bedrock`",
        "base_url": "its address; well-known providers have one",
        "concurrency": "calls at once from one process",
        "headers": "headers that are added to every request",
        "models": "models for its model list, where it has no list of its own",
        "batches": "whether it has OpenAI's Batch API",
        "flex": "whether it has the service tier `flex`",
        "stream_usage": "whether it knows `stream_options.include_usage`",
        "api_version": "Azure: API version; without it the v1 API",
        "deployments": "Azure: deployments by model, where the names differ",
        "project": "Vertex AI: the project",
        "location": "Vertex AI: the location",
        "region": "Bedrock: the region",
        "credentials": "Vertex AI: path of a key file; without it application default credentials",
        "proxy": "URL of the proxy to this provider, or `direct`; none: that of the environment",
        "ca_file": "PEM file of the authorities that are trusted in place of the system's",
        "client_cert": "PEM file of the certificate that is presented to the provider",
        "client_key": "PEM file of its key, without a passphrase; none: it stands in `client_cert`",
    },
    "KeySettings": {
        "name": "its name in logs and histories",
        "value": "the credential; write `env.NAME` for a variable",
        "weight": "its share of the calls",
        "models": "patterns of models that it may be used for",
    },
    "TimeoutSettings": {
        "connect_s": "time to connect",
        "total_s": "time of one attempt",
        "first_token_s": "time to the first event of a stream",
        "stream_idle_s": "time between two events of a stream",
    },
    "RetrySettings": {
        "max_attempts": "attempts with the same model, the first one included",
        "backoff_initial_s": "pause before the second attempt; it doubles each time",
        "backoff_max_s": "longest pause",
    },
    "BreakerSettings": {
        "window_s": "period over which the error rate is measured",
        "min_requests": "fewest calls in the window for its error rate to count",
        "error_rate": "share of failures that opens the circuit",
        "open_s": "how long an open circuit refuses calls before it probes the provider",
        "consecutive_failures": "failures in a row that open the circuit at any traffic",
    },
    "KeyRules": {
        "team": "team to which its usage is booked, and whose limits it shares",
        "customer": "customer to which its usage is booked, and whose limits it shares",
        "models": "patterns of `provider/model` that it may use",
        "denied_models": "patterns that it may not use",
        "providers": "patterns of providers that it may use",
        "fallbacks": "models to try when one fails, before those of `[fallbacks]`",
        "weight": "its share of the queue",
        "max_concurrent_jobs": "jobs that run at once",
        "max_concurrent_calls": "open synchronous calls",
        "max_stored_mb": "request bodies, results and responses that it keeps in the store; none: as for all",
        "expires_at": "RFC 3339 time from which it is refused",
        "dimensions": "labels that are booked with every call and that callers cannot change",
        "passthrough": "objects of a provider's account that it may use: `off` none, `owned` those it created, "
        "`account` all",
    },
    "VirtualKeySettings": {"value": "the key itself; without it one is created at the first start and printed once"},
    "PriceSettings": {
        "input": "USD per million input tokens",
        "output": "USD per million output tokens",
        "cached": "USD per million input tokens that the provider had cached",
        "cache_write": "USD per million input tokens that it caches",
        "reasoning": "USD per million reasoning tokens",
        "audio_input": "USD per million audio tokens of input",
        "audio_output": "USD per million audio tokens of output",
        "image_input": "USD per million image tokens of input",
        "image_output": "USD per million image tokens of output",
        "million_characters": "USD per million characters of speech",
        "image": "USD per image",
        "second": "USD per second of audio",
        "request": "USD per request",
        "cache_write_1h": "USD per million input tokens that it caches for an hour",
        "web_search": "USD per web search",
        "file_search": "USD per file search",
        "code_session": "USD per session of the code interpreter",
        "max_output": "most tokens that the model answers; a call without a limit reserves them",
        "discount": "part taken off everything: 0.1 is ten percent",
        "batch_discount": "part taken off batches",
        "flex_discount": "part taken off the service tier `flex`",
    },
    "TierSettings": {
        "above": "these prices hold for calls with more input tokens than this",
        "input": "USD per million input tokens",
        "output": "USD per million output tokens",
        "cached": "USD per million input tokens that the provider had cached",
        "cache_write": "USD per million input tokens that it caches",
        "reasoning": "USD per million reasoning tokens",
    },
    "LedgerSettings": {
        "calls_days": "days for which each call is kept",
        "max_calls": "most calls that are kept",
        "hours_days": "days for which sums by hour are kept",
        "days_days": "days for which sums by day are kept",
        "max_groups_per_key": "groups (a model with its dimensions) that one key adds to an hour's or day's sums",
        "thresholds": "parts of a budget at which an alert is sent",
        "anomalies": "watch for unusual spend, and alert",
        "anomaly_check_s": "time between two checks",
        "reservation_s": "how long a reservation holds without being renewed",
        "unpriced": "models without a price, where a budget in USD applies: `refuse` or `allow`",
    },
    "WebhookSettings": {
        "url": "receiver; https, unless private networks are allowed",
        "secret": "signing secret (`whsec_...`)",
        "events": "events that it receives",
        "format": "`standard`: signed events; `slack`: messages for Slack and what accepts its format",
        "allow_private_network": "it may be at a private address, and http://",
    },
    "Settings": {
        "aliases": "names of your own for models and routes",
        "fallbacks": "models to try when one fails, by model",
    },
}
_ATTRIBUTES = re.compile(r"^Attributes:\n((?:    .*\n?|\n)+)", re.MULTILINE)
_ENTRY = re.compile(r"^    (\w+): (.*(?:\n {8,}.*)*)", re.MULTILINE)


def description_of(section: type[BaseModel], field: str) -> str:
    """Return the meaning of a setting; empty if none is written.

    Args:
        section: The section that has the field; its base classes are looked at too.
        field: The name of the setting.
    """
    for owner in section.__mro__:
        found = MEANINGS.get(owner.__name__, {}).get(field) or _of_docstring(owner).get(field)
        if found:
            return found
    return ""


def _of_docstring(owner: type) -> Mapping[str, str]:
    """Return what a class's docstring says of its attributes."""
    part = _ATTRIBUTES.search(inspect.cleandoc(owner.__doc__ or ""))
    return {name: _clause(text) for name, text in _ENTRY.findall(part[1])} if part else {}


def _clause(text: str) -> str:
    """Return a sentence as the clause of a table: on one line, without capital and full stop."""
    found = " ".join(text.split()).rstrip(".")
    return found[:1].lower() + found[1:] if found[1:2].islower() else found
