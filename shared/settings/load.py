"""Load ``Settings`` from ``finops.toml`` and the environment, with errors that name file, key and remedy."""

import difflib
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr, ValidationError

from shared.settings.errors import fault_of
from shared.settings.model import ProviderSettings, Settings, WebhookSettings

# Environment alone is enough to start: FINOPS_* names of single settings, and where they belong.
ENVIRONMENT: Mapping[str, tuple[str, ...]] = {
    "FINOPS_REDIS_URL": ("redis", "url"),
    "FINOPS_BLOBS_URL": ("blobs", "url"),
    "FINOPS_ENCRYPTION_KEY": ("store", "encryption_key"),
    "FINOPS_HOST": ("server", "host"),
    "FINOPS_PORT": ("server", "port"),
    "FINOPS_ALLOW_OPEN": ("server", "allow_open"),
    "FINOPS_MAX_BODY_MB": ("server", "max_body_mb"),
    "FINOPS_ADMIN_KEY": ("auth", "admin_key"),
    "FINOPS_MONITORING_TOKEN": ("auth", "monitoring_token"),
    "FINOPS_REQUIRE_VIRTUAL_KEY": ("auth", "require_virtual_key"),
    "FINOPS_LOG_LEVEL": ("log", "level"),
    "FINOPS_LOG_FORMAT": ("log", "format"),
    "FINOPS_JOBS_CONCURRENCY": ("jobs", "concurrency"),
    "FINOPS_JOBS_LEASE_S": ("jobs", "lease_s"),
    "FINOPS_JOBS_MAX_ATTEMPTS": ("jobs", "max_attempts"),
    "FINOPS_JOBS_MAX_RUN_S": ("jobs", "max_run_s"),
    "FINOPS_JOBS_RESULT_TTL_S": ("jobs", "result_ttl_s"),
}

# Other variables of the commands and the processes.
_OTHER_VARIABLES = frozenset(
    {
        "FINOPS_CONFIG",
        "FINOPS_DATA_DIR",
        "FINOPS_KEY",
        "FINOPS_LIFELINE",
        "FINOPS_METRICS_DIR",
        "FINOPS_URL",
        "FINOPS_WORKER_METRICS_HOST",
        "FINOPS_WORKER_METRICS_PORT",
    }
)
# Kubernetes sets these for each service, among them one that is called finops:
# https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
_OF_KUBERNETES = re.compile(r"FINOPS_(\w+_)?(SERVICE_(HOST|PORT)(_\w+)?|PORT(_\d+_(TCP|UDP)(_(PORT|PROTO|ADDR))?)?)")
_OF_BENCHMARKS = "FINOPS_BENCH_"

# Where a URL holds credentials: before its last @, and in its query. Greedy: a password with an unescaped @ or / must
# not leak its tail.
_USERINFO = re.compile(r"(?<=://).*@", re.DOTALL)
_QUERY = re.compile(r"(?<=\?).+", re.DOTALL)
_PATH = re.compile(r"(?<=[^:/])/.+", re.DOTALL)

# A secret that is generated when absent may refer to a variable that is not set.
_OPTIONAL_REFERENCES = frozenset({("auth", "admin_key")})


class InvalidConfiguration(ValueError):
    """The configuration is invalid; one line per fault, each with its key and reason."""

    def __init__(self, source: str, faults: list[str]) -> None:
        self.source = source
        self.faults = faults
        super().__init__("\n".join(f"{source}: {fault}" for fault in faults))


def load_settings(path: Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Read the configuration.

    Args:
        path: The TOML file; None: the environment's ``FINOPS_CONFIG``, else the environment alone.
        environ: Source of ``env.NAME`` values and of ``FINOPS_*``, which override the file; default: the process's.

    Raises:
        InvalidConfiguration: The file is missing, not valid TOML, or has invalid settings.
    """
    environ = os.environ if environ is None else environ
    if path is None and environ.get("FINOPS_CONFIG"):
        path = Path(environ["FINOPS_CONFIG"])
    source = str(path) if path else "environment"
    raw = _read(path) if path else {}
    faults: list[str] = []
    faults += _unknown_variables(environ, referred=_references(raw))
    raw = _resolve(raw, environ, (), faults)
    for name, key_path in ENVIRONMENT.items():
        if environ.get(name) and not _of_kubernetes(name, environ[name]):
            _put(raw, key_path, environ[name])
    if faults:
        raise InvalidConfiguration(source, faults)
    try:
        return Settings.model_validate(raw)
    except ValidationError as error:
        raise InvalidConfiguration(source, [fault_of(entry, Settings) for entry in error.errors()]) from None


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InvalidConfiguration(str(path), ["the file does not exist"]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidConfiguration(str(path), [f"the file cannot be read: {error}"]) from None
    except tomllib.TOMLDecodeError as error:
        raise InvalidConfiguration(str(path), [f"not valid TOML: {error}"]) from None


def _resolve(value: Any, environ: Mapping[str, str], key_path: tuple[str, ...], faults: list[str]) -> Any:  # noqa: ANN401
    """Replace every ``env.NAME`` by the variable's value."""
    if isinstance(value, dict):
        resolved = {key: _resolve(item, environ, (*key_path, key), faults) for key, item in value.items()}
        return {key: item for key, item in resolved.items() if item is not None}
    if isinstance(value, list):
        return [_resolve(item, environ, (*key_path, str(at)), faults) for at, item in enumerate(value)]
    if isinstance(value, str) and value.startswith("env."):
        name = value.removeprefix("env.")
        if environ.get(name):
            return environ[name]
        if key_path not in _OPTIONAL_REFERENCES:
            faults.append(f"{'.'.join(key_path)}: the environment variable {name} is not set")
        return None
    return value


def _references(value: Any) -> frozenset[str]:  # noqa: ANN401 - any part of the file
    """The variables that the file names as ``env.NAME``."""
    if isinstance(value, dict):
        return frozenset().union(*map(_references, value.values()))
    if isinstance(value, list):
        return frozenset().union(*map(_references, value))
    return frozenset({value.removeprefix("env.")} if isinstance(value, str) and value.startswith("env.") else ())


def referenced_variables(text: str) -> frozenset[str]:
    """Return the names of the variables that a valid TOML text refers to as ``env.NAME``."""
    return _references(tomllib.loads(text))


def _unknown_variables(environ: Mapping[str, str], referred: frozenset[str]) -> list[str]:
    """Faults of unknown ``FINOPS_*`` variables: a misspelt switch would stay off in silence."""
    known = ENVIRONMENT.keys() | _OTHER_VARIABLES
    faults = []
    for name in sorted(environ):
        if not name.startswith("FINOPS_") or name in known or name in referred or name.startswith(_OF_BENCHMARKS):
            continue
        if not _of_kubernetes(name, environ[name]):
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(known - {'FINOPS_LIFELINE'}))}"
            faults.append(f"the environment variable {name} is unknown; {hint}")
    return faults


def _of_kubernetes(name: str, value: str) -> bool:
    """Whether a variable is one that Kubernetes set; `FINOPS_PORT` is ours unless it holds an address."""
    ours = name in ENVIRONMENT and not value.startswith(("tcp://", "udp://"))
    return not ours and _OF_KUBERNETES.fullmatch(name) is not None


def _put(raw: dict[str, Any], key_path: tuple[str, ...], value: str) -> None:
    table = raw
    for key in key_path[:-1]:
        table = table.setdefault(key, {})
    table[key_path[-1]] = value


def effective(settings: Settings) -> dict[str, Any]:
    """The configuration as ``finops config show`` prints it: JSON-able, secrets masked.

    Secrets are also the values of providers' headers, and what comes before the host and in the query of a URL.
    """
    return {name: _masked(getattr(settings, name)) for name in Settings.model_fields}


def _masked(value: Any) -> Any:  # noqa: ANN401 - any setting
    if isinstance(value, SecretStr):
        return _mask(value.get_secret_value())
    if isinstance(value, BaseModel):
        masked = {name: _masked(getattr(value, name)) for name in type(value).model_fields}
        if isinstance(value, ProviderSettings):
            masked["headers"] = {name: _mask(text) for name, text in value.headers.items()}
        if isinstance(value, WebhookSettings) and value.format == "slack":
            masked["url"] = _PATH.sub("/****", masked["url"])  # its path authorises the sender
        return masked
    if isinstance(value, dict):
        return {key: _masked(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_masked(item) for item in value]
    if isinstance(value, str) and "://" in value:
        return _QUERY.sub("****", _USERINFO.sub("****@", value))
    return value


def _mask(secret: str) -> str:
    return f"****{secret[-4:]}" if len(secret) >= 16 else "****"
