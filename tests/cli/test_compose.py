"""compose.yaml and the image, held against the commands and variables that exist. No container engine is needed."""

import configparser
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from cli.main import main
from cli.supervisor.system import CLEAN_UP_S
from shared.providers.registry import ROWS
from shared.settings.load import ENVIRONMENT, load_settings

ROOT = Path(__file__).parents[2]
# Read by the commands themselves, not by the settings.
OF_COMMANDS = {"FINOPS_CONFIG", "FINOPS_WORKER_METRICS_PORT", "FINOPS_WORKER_METRICS_HOST"}
OURS = ("api", "worker", "simulator")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
    return document


def test_it_has_the_store_both_tiers_and_the_simulator_all_with_health_checks(compose: dict[str, Any]) -> None:
    assert set(compose["services"]) == {"redis", *OURS}
    for service in compose["services"].values():
        assert service["healthcheck"]["test"][0] == "CMD"
        assert service["restart"] == "unless-stopped"


def test_redis_keeps_what_it_is_given(compose: dict[str, Any]) -> None:
    redis = compose["services"]["redis"]
    command = redis["command"]
    options = dict(zip(command[1::2], command[2::2], strict=True))
    password = options.pop("--requirepass")
    assert password == redis["environment"]["REDISCLI_AUTH"] == "${REDIS_PASSWORD:-finops}"
    assert options == {"--appendonly": "yes", "--appendfsync": "everysec", "--maxmemory-policy": "noeviction"}
    assert redis["volumes"] == ["redis:/data"]
    assert "redis" in compose["volumes"]


def test_the_simulator_cannot_reach_the_store(compose: dict[str, Any]) -> None:
    networks = {name: set(service["networks"]) for name, service in compose["services"].items()}
    assert networks["redis"] == {"store"}
    assert networks["api"] == networks["worker"] == {"default", "store"}
    assert networks["simulator"] == {"default"}
    assert compose["networks"]["store"]["internal"]


@pytest.mark.parametrize("name", OURS)
def test_every_command_is_one_of_ours_with_options_that_it_knows(compose: dict[str, Any], name: str) -> None:
    program, command_name, *arguments = compose["services"][name]["command"]
    assert program == "finops"
    command = main.get_command(click.Context(main), command_name)
    assert command is not None
    command.make_context(command_name, list(arguments))  # a usage error raises


@pytest.mark.parametrize("name", ["api", "worker"])
def test_every_variable_is_one_that_is_read(compose: dict[str, Any], name: str) -> None:
    known = set(ENVIRONMENT) | OF_COMMANDS | {row.key_env for row in ROWS} | {row.url_env for row in ROWS}
    later = {"ANTHROPIC_API_KEY", "GEMINI_API_KEY"}  # wires that come with their issue; the contract names them
    service = compose["services"][name]
    assert set(service["environment"]) <= known | later
    assert service["environment"]["FINOPS_REDIS_URL"] == "redis://:${REDIS_PASSWORD:-finops}@redis:6379/0"
    assert service["env_file"] == [{"path": ".env", "required": False}], "every provider's variables, not some"
    assert service["depends_on"] == {"redis": {"condition": "service_healthy"}}


def test_the_simulator_is_a_provider_at_the_port_it_serves(compose: dict[str, Any]) -> None:
    # Inline content is refused for read-only services: https://github.com/docker/compose/issues/12031
    assert set(compose["configs"]["finops"]) == {"file"}
    provider = load_settings(ROOT / compose["configs"]["finops"]["file"], {}).providers["sim"]
    command = compose["services"]["simulator"]["command"]
    assert provider.base_url == f"http://simulator:{command[command.index('--port') + 1]}/v1"
    for name in ("api", "worker"):
        [mounted] = compose["services"][name]["configs"]
        assert mounted["target"] == compose["services"][name]["environment"]["FINOPS_CONFIG"]


def test_health_is_asked_where_it_is_answered(compose: dict[str, Any]) -> None:
    asked = {
        name: re.search(r"http://127.0.0.1:(\d+)(/\S+)'", compose["services"][name]["healthcheck"]["test"][-1])
        for name in OURS
    }
    found = {name: (match[1], match[2]) for name, match in asked.items() if match}
    worker_port = compose["services"]["worker"]["environment"]["FINOPS_WORKER_METRICS_PORT"]
    assert found == {
        "api": ("8080", "/health/ready"),
        "worker": (worker_port, "/health/ready"),
        "simulator": ("9100", "/sim/health"),
    }


def test_the_tiers_scale_and_have_time_to_end(compose: dict[str, Any]) -> None:
    worker, api = compose["services"]["worker"], compose["services"]["api"]
    assert worker["deploy"]["replicas"] >= 2
    assert "ports" not in worker
    assert "container_name" not in worker
    settings = load_settings(None, {})
    for service, grace_s in ((worker, settings.jobs.shutdown_grace_s), (api, settings.server.shutdown_grace_s)):
        assert int(service["stop_grace_period"].removesuffix("s")) > grace_s + CLEAN_UP_S


def test_the_image_is_built_from_the_lock_file_and_does_not_run_as_root() -> None:
    steps = (ROOT / "Dockerfile").read_text()
    assert "uv sync --frozen --no-dev --all-extras --no-extra semantic --no-editable" in steps
    stages = steps.split("\nFROM ")
    assert [stage.splitlines()[0] for stage in stages[1:]] == [
        "${UV_IMAGE} AS uv",
        "${PYTHON_IMAGE} AS build",
        "${PYTHON_IMAGE}",
    ]
    assert re.search(r"^USER 10001:10001$", stages[-1], re.MULTILINE)
    packages = re.findall(r"^COPY (\w+) \./\1$", steps, re.MULTILINE)
    built = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["uv"]["build-backend"]["module-name"]
    assert sorted(packages) == sorted(built)
    allowed = (ROOT / ".dockerignore").read_text().splitlines()
    assert {f"!{package}" for package in built} | {"!uv.lock", "!pyproject.toml"} <= set(allowed)


def test_every_base_image_can_be_pinned_by_its_digest(compose: dict[str, Any], tmp_path: Path) -> None:
    default = re.compile(r"\$\{(\w+):-([\w./:-]+)\}")
    arguments = compose["services"]["api"]["build"]["args"]
    used = dict(match.groups() for value in arguments.values() if (match := default.fullmatch(value)))
    assert list(used) == list(arguments)
    assert used == dict(re.findall(r"^ARG (\w+)=(\S+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE))
    redis = default.fullmatch(compose["services"]["redis"]["image"])
    assert redis is not None
    docker = tmp_path / "docker"
    docker.write_text('#!/bin/sh\n[ "$1 $2 $3" = "buildx imagetools inspect" ] && echo sha256:0123\n')
    docker.chmod(0o755)
    script = ROOT / "deploy" / "pin_images.sh"
    printed = subprocess.check_output(["/bin/sh", script], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, text=True)
    pinned = dict(line.split("=", 1) for line in printed.splitlines())
    assert pinned == {name: f"{image}@sha256:0123" for name, image in {**used, redis[1]: redis[2]}.items()}


@pytest.mark.parametrize("path", sorted((ROOT / "deploy" / "systemd").iterdir()), ids=lambda path: path.name)
def test_a_unit_runs_a_command_of_ours_and_gives_it_time_to_end(path: Path) -> None:
    unit = configparser.ConfigParser(interpolation=None, strict=True)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(path)
    service = unit["Service"]
    program, name, *arguments = service["ExecStart"].split()
    assert program == "/opt/finops/bin/finops"
    command = main.get_command(click.Context(main), name)
    assert command is not None
    command.make_context(name, arguments)
    settings = load_settings(None, {})
    assert int(service["TimeoutStopSec"]) > settings.jobs.shutdown_grace_s + CLEAN_UP_S
    assert (service["DynamicUser"], service["NoNewPrivileges"]) == ("yes", "yes")
    assert name != "serve" or service["KillMode"] == "mixed", "the supervisor stops its children itself"
