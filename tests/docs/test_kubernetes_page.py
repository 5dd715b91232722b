"""The commands of "Deploy on Kubernetes" run as written, with a kubectl that has no cluster."""

import asyncio
import base64
import json
import os
import re
import tomllib
from pathlib import Path

import pytest
import yaml

from tests.api.conftest import ADMIN_KEY, Start, sim, start  # noqa: F401 - fixtures
from tests.cli.manifests import FOLDER, KUBECTL, OVERLAYS, ROOT, only, rendered, secret
from tests.document import openapi

PAGE = ROOT / "docs" / "17-kubernetes.md"
BLOCKS = re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
OF_CLUSTER = [block for block in BLOCKS if "kubectl" in block and "curl" not in block]
[CALLS] = [block for block in BLOCKS if "curl" in block]

# In place of docker, kind and kubectl: notes how it is called, and does with the real kubectl what needs no cluster.
PROGRAM = f"""#!/bin/bash
name=$(basename "$0") here=$(dirname "$0")/.. line="$*"
(IFS=$'\\t'; echo "$name$IFS$*" >> "$here/calls")
case "$name $line" in
  "kubectl "*" create "*) exec '{KUBECTL}' "$@" --dry-run=client -o yaml > "$here/secret.yaml" ;;
  "kubectl apply -f "*) for word in "$@"; do [[ $word != *.yaml || -f $word ]] || exit 1; done ;;
  "kubectl "*" get secret "*) key=${{line##*.data.}}
    sed -n "s/^  ${{key%\\}}}}: //p" "$here/secret.yaml" | tr -d '\\n' ;;
esac
"""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like the repository's, with programs in `bin`, after all commands of the page but the calls."""
    folder = tmp_path_factory.mktemp("machine")
    (folder / "bin").mkdir()
    for name in ("kubectl", "docker", "helm", "kind"):
        file = folder / "bin" / name
        file.write_text(PROGRAM)
        file.chmod(0o755)
    (folder / "deploy").symlink_to(ROOT / "deploy")
    (folder / "my-secret.yaml").write_text((FOLDER / "secret.example.yaml").read_text())
    asyncio.run(run("".join(OF_CLUSTER), folder))
    return folder


async def run(script: str, machine: Path) -> str:
    """Run lines in bash, the first failure of which ends it."""
    environ = {**os.environ, "PATH": f"{machine / 'bin'}:{os.environ['PATH']}", "NO_PROXY": "127.0.0.1"}
    ended = await asyncio.create_subprocess_exec(
        "bash", "-euo", "pipefail", "-c", script, cwd=machine, env=environ,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, errors = await ended.communicate()
    assert ended.returncode == 0, errors.decode()
    return out.decode()


def made_secret(machine: Path) -> dict[str, str]:
    """The Secret that the page creates: its values in Base64."""
    data: dict[str, str] = yaml.safe_load((machine / "secret.yaml").read_text())["data"]
    return data


def test_the_commands_name_files_objects_and_ports_that_exist(machine: Path) -> None:
    calls = [line.split("\t") for line in (machine / "calls").read_text().splitlines()]
    folders = {words[3] for words in calls if words[:3] == ["kubectl", "apply", "-k"]}
    assert folders == {f"deploy/kubernetes/overlays/{name}" for name in OVERLAYS}
    objects = [each for folder in folders for each in rendered(ROOT / folder)]
    known = {f"{each['kind'].lower()}/{each['metadata']['name']}" for each in objects}
    named = {word for words in calls for word in words if word.startswith(("deployment/", "service/"))}
    assert named == {"deployment/finops-api", "deployment/finops-worker", "service/finops-api"}
    assert named <= known
    [forward] = [words[-1] for words in calls if "port-forward" in words]
    [port] = only(rendered(FOLDER / "overlays" / "trial"), "Service", "finops-api")["spec"]["ports"]
    assert forward == f"8080:{port['port']}"
    [image] = [words[-1] for words in calls if words[0] == "kind"]
    assert ["docker", "build", "-t", image, "."] in calls
    pods = [each["spec"]["template"]["spec"] for each in objects if each["kind"] == "Deployment"]
    assert image in {container["image"] for pod in pods for container in pod["containers"]}


def test_the_secret_of_the_trial_has_all_that_is_read_from_it(machine: Path) -> None:
    text = json.dumps(rendered(FOLDER / "overlays" / "trial"), sort_keys=True)
    read = set(re.findall(r"env\.(\w+)", text)) | set(re.findall(r'"key": "(\w+)", "name": "finops-secrets"', text))
    assert read == {"TRIAL_KEY", "REDIS_PASSWORD"}
    assert set(made_secret(machine)) == read | (set(secret()["stringData"]) - {"OPENAI_API_KEY"})


async def test_a_call_and_a_job_are_answered_with_the_configuration_of_the_trial(
    machine: Path,
    start: Start,  # noqa: F811
) -> None:
    tables = tomllib.loads((FOLDER / "overlays" / "trial" / "finops.toml").read_text())
    tables["virtual_keys"]["trial"]["value"] = base64.b64decode(made_secret(machine)["TRIAL_KEY"]).decode()
    gateway = await start(virtual_keys=tables["virtual_keys"], auth={**tables["auth"], "admin_key": ADMIN_KEY})
    printed = await run(with_lines(CALLS, gateway.url), machine)
    answer, job, listed = [json.loads(line) for line in printed.splitlines()]
    assert answer["choices"][0]["message"]["content"]
    assert [each["id"] for each in listed["data"]] == [job["id"]]


def with_lines(script: str, url: str) -> str:
    """The block with another address, and each answer on a line of its own."""
    lines = script.replace("http://127.0.0.1:8080", url).splitlines()
    return "\n".join(f"{line}; echo" if line.startswith("curl") else line for line in lines)


def test_the_example_of_an_answer_has_the_fields_of_the_description() -> None:
    [console] = re.findall(r"^```console\n\$ curl .*\n(\{.*\})\n```", PAGE.read_text(), re.MULTILINE)
    described = openapi()["paths"]["/api/queue/scale"]["get"]["responses"]["200"]
    assert set(json.loads(console)) == set(described["content"]["application/json"]["schema"]["required"])
