"""The gateways that are compared: where they come from, how each is configured for one upstream, how it is called."""

import contextlib
import functools
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench import machine, samples
from bench.redis_servers import free_port
from bench.systems import HERE, VENVS

SCOPE_KEY = "sk-mock-0123456789abcdef"
MASTER_KEY = "sk-" + "0123456789abcdef" * 4


@dataclass
class Launch:
    """What starts a gateway; ``port`` 0: it chooses, and writes a line ``port N``."""

    argv: list[str]
    environ: dict[str, str] = field(default_factory=dict)
    port: int = 0


@dataclass(frozen=True)
class Gateway:
    """One gateway.

    Attributes:
        name: As in the tables.
        launch: Makes its configuration in a directory, for an upstream's port; the command that runs it.
        packages: What its environment under ``.bench`` holds, from PyPI; with ``npm``, from npm.
        model: What callers ask for.
        headers: That callers send besides ``content-type`` and ``authorization``.
        patience_s: How long a start may take.
    """

    name: str
    launch: Callable[[Path, int, int], Launch]
    packages: tuple[str, ...] = ()
    npm: bool = False
    model: str = "gpt-4o"
    path: str = "/v1/chat/completions"
    headers: tuple[str, ...] = ()
    patience_s: float = 60.0

    @property
    def home(self) -> Path:
        return VENVS / self.name.split(":")[0]

    def install(self) -> None:
        mark = self.home / ".installed"
        if mark.exists() and (self.packages or mark.stat().st_mtime > (HERE.parent / "uv.lock").stat().st_mtime):
            return
        packages = self.packages or (str(HERE.parent),)
        print(f"installing {self.name}: {', '.join(packages)}", file=sys.stderr)
        install(self.home, packages, npm=self.npm)

    def version(self) -> str:
        """Name and version of its first package."""
        if not self.packages:
            return ""
        name = _plain(self.packages[0])
        if self.npm:
            version = json.loads((self.home / "node_modules" / name / "package.json").read_text())["version"]
        else:
            code = f"import importlib.metadata as m; print(m.version({name!r}))"
            version = subprocess.check_output([self.home / "bin" / "python", "-c", code], text=True).strip()
        return f"{name} {version}"

    def request_head(self, path: str = "", *more: str) -> str:
        lines = ["host: 127.0.0.1", "content-type: application/json", *self.headers, *more]
        return f"POST {path or self.path} HTTP/1.1\r\n" + "".join(line + "\r\n" for line in lines)


def _plain(package: str) -> str:
    return package.split("[")[0].split("=")[0]


def install(home: Path, packages: tuple[str, ...], *, npm: bool = False) -> None:
    """A fresh environment; it is there when its mark is."""
    shutil.rmtree(home, ignore_errors=True)
    if npm:
        home.mkdir(parents=True)
        quiet = ["--silent", "--no-audit", "--no-fund"]
        subprocess.run(["npm", "install", *quiet, "--prefix", home, *packages], check=True)
    else:
        subprocess.run([sys.executable, "-m", "venv", home], check=True)
        subprocess.run([home / "bin" / "pip", "install", "-qq", *packages], check=True)
    (home / ".installed").touch()


def installed_mb(home: Path, *, npm: bool = False) -> float:
    """What the packages take on the disk, without the installer itself."""
    root = home / "node_modules" if npm else next((home / "lib").glob("python*/site-packages"))
    tools = ("pip", "pip-", "setuptools", "_distutils_hack", "pkg_resources", "wheel")
    total = 0
    for top in root.iterdir():
        if not npm and top.name.startswith(tools):
            continue
        files = [top, *top.rglob("*")] if top.is_dir() else [top]
        total += sum(file.lstat().st_blocks * 512 for file in files)
    if not npm:  # binaries that a wheel brings stand outside site-packages
        binaries = (file for file in (home / "bin").iterdir() if not file.is_symlink())
        total += sum(file.stat().st_size for file in binaries if file.stat().st_size > 100_000)
    return total / 1e6


OURS_CONFIG = (
    samples.CONFIG
    + """
[providers.translated]
wire = "anthropic"
base_url = "http://127.0.0.1:{upstream}/anthropic"
keys = [{{ name = "m", value = "{key}" }}]
[virtual_keys.team-a]
value = "sk-bf-team-a"
models = ["mock/*"]
budget = {{ limit_usd = 1000000.0, window = "1d" }}
rate_limit = {{ requests = 1000000000, tokens = 1000000000000, window = "1m" }}
[virtual_keys.team-b]
value = "sk-bf-team-b"
models = ["mock/*", "translated/*"]
[log]
requests = true
[jobs]
max_queued = 1000000
max_queued_per_key = 1000000
"""
)


def ours(store_url: str, directory: Path, port: int, upstream: int) -> Launch:
    config = directory / "finops.toml"
    config.write_text(OURS_CONFIG.format(upstream=upstream, key=SCOPE_KEY))
    # Our dependencies as users have them, without those of development; our code as it is here.
    argv = [
        _bin("finops", "python"),
        "-m",
        "api",
        "--port",
        str(port),
        "--redis-url",
        store_url,
        "--config",
        str(config),
    ]
    return Launch(argv, {"PYTHONPATH": str(HERE.parent)}, port)


def _bin(name: str, program: str) -> str:
    return str(VENVS / name / "bin" / program)


def litellm(directory: Path, port: int, upstream: int) -> Launch:
    config = directory / "config.yaml"
    config.write_text(
        "model_list:\n- model_name: gpt-4o\n  litellm_params:\n    model: openai/gpt-4o\n"
        f"    api_base: http://127.0.0.1:{upstream}/v1\n    api_key: {SCOPE_KEY}\n"
        "litellm_settings:\n  set_verbose: false\n  json_logs: false\n  telemetry: false\n"
    )
    # It wants a key of its callers, and a long one.
    quiet = {
        "LITELLM_MASTER_KEY": MASTER_KEY,
        "LITELLM_LOG": "ERROR",
        "LITELLM_MODE": "PRODUCTION",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }
    argv = [_bin("litellm", "litellm"), "--config", str(config), "--port", str(port), "--host", "127.0.0.1"]
    return Launch([*argv, "--num_workers", "1", "--telemetry", "False"], quiet, port)


def portkey(directory: Path, port: int, upstream: int) -> Launch:
    server = VENVS / "portkey" / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
    # A provider on this machine is what it calls a trusted host.
    return Launch(["node", str(server), f"--port={port}", "--headless"], {"TRUSTED_CUSTOM_HOSTS": "127.0.0.1"}, port)


def mlflow(directory: Path, port: int, upstream: int) -> Launch:
    config = directory / "config.yaml"
    config.write_text(
        "endpoints:\n- name: gpt-4o\n  endpoint_type: llm/v1/chat\n  model:\n    provider: openai\n    name: gpt-4o\n"
        f"    config:\n      openai_api_key: {SCOPE_KEY}\n      openai_api_base: http://127.0.0.1:{upstream}/v1\n"
    )
    argv = [_bin("mlflow", "mlflow"), "gateway", "start", "--config-path", str(config), "--port", str(port)]
    path = str(VENVS / "mlflow" / "bin") + os.pathsep + os.environ["PATH"]
    return Launch([*argv, "--workers", "1"], {"PATH": path}, port)


def lm_proxy(directory: Path, port: int, upstream: int) -> Launch:
    config = directory / "config.toml"
    config.write_text(
        f'host = "127.0.0.1"\nport = {port}\n[connections.openai]\napi_type = "open_ai"\n'
        f'api_base = "http://127.0.0.1:{upstream}/v1/"\napi_key = "{SCOPE_KEY}"\n'
        f'[routing]\n"*" = "openai.*"\n[groups.default]\napi_keys = ["{SCOPE_KEY}"]\n'
    )
    return Launch([_bin("lm-proxy", "lm-proxy"), "--config", str(config)], {}, port)


def small_app(venv: str, module: str, directory: Path, port: int, upstream: int) -> Launch:
    argv = [_bin(venv, "python"), "-m", "uvicorn", f"{module}:app", "--port", str(port), "--no-access-log"]
    environ = {
        "UPSTREAM": f"http://127.0.0.1:{upstream}/v1",
        "UPSTREAM_KEY": SCOPE_KEY,
        "PYTHONPATH": str(HERE / "peers"),
    }
    return Launch([*argv, "--log-level", "warning"], environ, port)


def rolter(directory: Path, port: int, upstream: int) -> Launch:
    config = directory / "rolter.toml"
    config.write_text(
        # With its queue (8 workers a provider by default, 4,096 tried) one call at a time waits for its answer.
        f'[server]\nhost = "127.0.0.1"\nport = {port}\n[queue]\nenabled = false\n'
        '[[providers]]\nname = "mock"\nkind = "openai_compatible"\n'
        f'api_base = "http://127.0.0.1:{upstream}"\napi_key_env = "UPSTREAM_KEY"\n[[routes]]\nmodel = "gpt-4o"\n'
        'strategy = "round_robin"\n[[routes.targets]]\nprovider = "mock"\nmodel = "gpt-4o"\n'
        '[[virtual_keys]]\nkey = "sk-bench"\nname = "bench"\nmodels = []\n'
    )
    environ = {
        "UPSTREAM_KEY": SCOPE_KEY,
        "RUST_LOG": "warn",
        "ROLTER_UPDATE_CHECK": "false",
        "ROLTER_TELEMETRY_ENABLED": "0",
    }
    return Launch([_bin("rolter", "rolter"), "gateway", "--config", str(config)], environ, port)


def ferrogw(directory: Path, port: int, upstream: int) -> Launch:
    config = directory / "config.yaml"
    config.write_text(
        "strategy:\n  mode: single\ntargets:\n  - virtual_key: openai\n    models: [gpt-4o]\n    retry:\n      attempts: 2\n"
    )
    environ = {
        "GATEWAY_CONFIG": str(config), "PORT": str(port), "OPENAI_API_KEY": SCOPE_KEY, "GOMAXPROCS": "1",
        "OPENAI_BASE_URL": f"http://127.0.0.1:{upstream}", "MASTER_KEY": "fgw_bench", "LOG_LEVEL": "warn",
        "ALLOW_UNAUTHENTICATED_PROXY": "true", "RATE_LIMIT_RPS": "1000000", "RATE_LIMIT_BURST": "1000000",
    }  # fmt: skip
    return Launch([_bin("ferrogw", "ferrogw"), "serve"], environ, port)


def tensorzero(directory: Path, port: int, upstream: int) -> Launch:
    config = directory / "tensorzero.toml"
    config.write_text(
        "[gateway]\nobservability.enabled = false\n[models.mock]\nrouting = ['openai']\n[models.mock.providers.openai]\n"
        f"type = 'openai'\nmodel_name = 'gpt-4o'\napi_base = 'http://127.0.0.1:{upstream}/v1/'\n"
        "api_key_location = 'env::UPSTREAM_KEY'\n"
    )
    argv = [_bin("tensorzero", "python"), str(HERE / "peers" / "tensorzero_gateway.py"), str(config)]
    return Launch(argv, {"UPSTREAM_KEY": SCOPE_KEY})


def smg(directory: Path, port: int, upstream: int) -> Launch:
    argv = [_bin("smg", "smg"), "launch", "--host", "127.0.0.1", "--port", str(port), "--backend", "openai"]
    rest = [
        "--worker-urls",
        f"http://127.0.0.1:{upstream}",
        "--prometheus-port",
        str(free_port()),
        "--log-level",
        "warn",
    ]
    return Launch([*argv, *rest, "--history-backend", "none"], {"OPENAI_API_KEY": SCOPE_KEY}, port)


def vllm_router(directory: Path, port: int, upstream: int) -> Launch:
    argv = [_bin("vllm-router", "vllm-router"), "--host", "127.0.0.1", "--port", str(port), "--policy", "round_robin"]
    rest = ["--worker-urls", f"http://127.0.0.1:{upstream}", "--prometheus-port", str(free_port())]
    return Launch([*argv, *rest, "--log-level", "warning"], {}, port)


def gateways(store_url: str) -> list[Gateway]:
    """All of them, ours first; Python, then Node, then compiled ones."""
    ask_key, app = f"authorization: Bearer {SCOPE_KEY}", ("fastapi", "uvicorn[standard]")
    return [
        Gateway("finops", functools.partial(ours, store_url), model="mock/gpt-4o", path="/openai/chat/completions"),
        Gateway(
            "floor: FastAPI + httpx", functools.partial(small_app, "floor", "httpx_floor"),
            (*app[:1], "httpx", app[1]),
        ),
        Gateway("litellm", litellm, ("litellm[proxy]",), headers=(f"authorization: Bearer {MASTER_KEY}",), patience_s=120),
        Gateway("mlflow", mlflow, ("mlflow[gateway]",), patience_s=120),
        Gateway("lm-proxy", lm_proxy, ("lm-proxy",), headers=(ask_key,)),
        Gateway("any-llm", functools.partial(small_app, "any-llm", "any_llm_app"), ("any-llm-sdk[openai]", *app)),
        Gateway("portkey", portkey, ("@portkey-ai/gateway",), npm=True),
        Gateway("ferrogw", ferrogw, ("ferrogw",), headers=(ask_key,)),
        Gateway("tensorzero", tensorzero, ("tensorzero",), model="tensorzero::model_name::mock", path="/openai/v1/chat/completions"),
        Gateway("rolter", rolter, ("rolter",), headers=("authorization: Bearer sk-bench",)),
        Gateway("smg", smg, ("smg",), headers=(ask_key,)),
        Gateway("vllm-router", vllm_router, ("vllm-router",)),
    ]  # fmt: skip


def chosen(store_url: str, names: list[str]) -> list[Gateway]:
    """Those whose names hold one of the words; none: all."""
    words = ["finops" if name == "us" else name for name in names]
    return [g for g in gateways(store_url) if not words or any(word in g.name for word in words)]


class Running:
    """A gateway's processes."""

    def __init__(self, gateway: Gateway, process: subprocess.Popen[bytes], port: int) -> None:
        self.gateway, self.process, self.port = gateway, process, port
        self.cold_start_s = 0.0

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cpu_s(self) -> float:
        return machine.tree_cpu_s(self.process.pid)

    def rss_mb(self) -> float:
        return sum(machine.rss_kib(pid) for pid in machine.tree(self.process.pid)) * 1024 / 1e6

    def ask(self, body: str, *, path: str = "", more: dict[str, str] | None = None) -> tuple[int, bytes]:
        """One request by an ordinary client."""
        headers = {"content-type": "application/json", **(more or {})}
        headers.update(line.split(": ", 1) for line in self.gateway.headers)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("POST", path or self.gateway.path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


def extra_headers(gateway: Gateway, upstream: int) -> Gateway:
    """Portkey takes its provider from every request."""
    if gateway.name != "portkey":
        return gateway
    headers = (f"authorization: Bearer {SCOPE_KEY}", "x-portkey-provider: openai")
    host = f"x-portkey-custom-host: http://127.0.0.1:{upstream}/v1"
    return Gateway(**{**gateway.__dict__, "headers": (*headers, host)})


@contextlib.contextmanager
def running(gateway: Gateway, upstream: int, core: set[int]) -> Iterator[Running]:
    """The gateway on one core, from its first good answer on."""
    gateway = extra_headers(gateway, upstream)
    with tempfile.TemporaryDirectory(prefix="finops-bench-") as name:
        directory, log = Path(name), Path(name) / "log"
        launch = gateway.launch(directory, free_port(), upstream)
        environ = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
        with log.open("wb") as output:
            begun = time.monotonic()
            process = subprocess.Popen(
                launch.argv, env={**environ, **launch.environ}, cwd=directory, stdin=subprocess.DEVNULL,
                stdout=output, stderr=output, preexec_fn=machine.end_with_parent(core), process_group=0,
            )  # fmt: skip
            here = Running(gateway, process, launch.port)
            try:
                _until_it_answers(here, log, begun + gateway.patience_s)
                here.cold_start_s = time.monotonic() - begun
                yield here
            finally:
                _stop(process)


def _until_it_answers(here: Running, log: Path, deadline: float) -> None:
    body, reason = samples.request(here.gateway.model), ""
    while time.monotonic() < deadline and here.process.poll() is None:
        if not here.port:
            lines = [line for line in log.read_text(errors="replace").splitlines() if line.startswith("port ")]
            here.port = int(lines[0].split()[1]) if lines else 0
        try:
            status, answer = here.ask(body) if here.port else (0, b"")
            if status == 200 and b"xxxx" in answer:
                return
            reason = f"{status} {answer[:300]!r}"
        except (OSError, http.client.HTTPException) as error:
            reason = repr(error)
        time.sleep(0.01)
    raise RuntimeError(f"no good answer ({reason}); its log ends: {log.read_text(errors='replace')[-1500:]}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Its whole process group, which it alone is in. (A session of its own would lose the priority of ours.)"""
    for kind, patience_s in ((signal.SIGTERM, 3.0), (signal.SIGKILL, 10.0)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, kind)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience_s)
