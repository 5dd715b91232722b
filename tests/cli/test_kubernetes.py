"""deploy/kubernetes, held against the commands, settings and paths that exist. No cluster is needed."""

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
import pytest
import yaml

from api.app import create_app
from cli.main import main
from cli.supervisor.system import CLEAN_UP_S
from shared.settings.load import load_settings

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"
WORKER_PATHS = {"/metrics", "/health/live", "/health/ready"}
KINDS = {
    "Namespace": "v1", "ConfigMap": "v1", "Secret": "v1", "Service": "v1", "Deployment": "apps/v1",
    "PodDisruptionBudget": "policy/v1", "NetworkPolicy": "networking.k8s.io/v1",
    "HorizontalPodAutoscaler": "autoscaling/v2", "TriggerAuthentication": "keda.sh/v1alpha1",
    "ScaledObject": "keda.sh/v1alpha1", "Kustomization": "kustomize.config.k8s.io/v1beta1",
}  # fmt: skip
Documents = list[dict[str, Any]]


def load(path: Path) -> Documents:
    return list(yaml.safe_load_all(path.read_text()))


@pytest.fixture(scope="module")
def documents() -> Documents:
    return [document for path in sorted(FOLDER.glob("*.yaml")) for document in load(path)]


def only(documents: Documents, kind: str, name: str) -> dict[str, Any]:
    [found] = [each for each in documents if (each["kind"], each.get("metadata", {}).get("name")) == (kind, name)]
    return found


def deployment(documents: Documents, tier: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a tier's pod and its only container."""
    pod: dict[str, Any] = only(documents, "Deployment", f"finops-{tier}")["spec"]["template"]
    [container] = pod["spec"]["containers"]
    return pod, container


def test_every_document_is_of_a_known_kind_and_in_one_namespace(documents: Documents) -> None:
    assert {each["kind"]: each["apiVersion"] for each in documents} == KINDS
    named = [each for each in documents if each["kind"] not in {"Namespace", "Kustomization"}]
    assert {each["metadata"]["namespace"] for each in named} == {"finops"}
    ids = [(each["kind"], each["metadata"]["name"]) for each in named]
    assert len(set(ids)) == len(ids)


def test_the_kustomization_has_every_file_but_the_example() -> None:
    [kustomization] = load(FOLDER / "kustomization.yaml")
    files = {path.name for path in FOLDER.glob("*.yaml")} - {"kustomization.yaml", "secret.example.yaml"}
    assert set(kustomization["resources"]) == files
    assert kustomization["namespace"] == "finops"
    assert [image["name"] for image in kustomization["images"]] == ["finops-gateway"]


@pytest.mark.parametrize("tier", ["api", "worker"])
def test_selectors_match_the_labels_of_their_pods(documents: Documents, tier: str) -> None:
    labels = {"app.kubernetes.io/name": "finops", "app.kubernetes.io/component": tier}
    pod, _ = deployment(documents, tier)
    name = f"finops-{tier}"
    assert pod["metadata"]["labels"] == labels
    assert only(documents, "Deployment", name)["spec"]["selector"]["matchLabels"] == labels
    assert only(documents, "PodDisruptionBudget", name)["spec"]["selector"]["matchLabels"] == labels
    assert only(documents, "NetworkPolicy", name)["spec"]["podSelector"]["matchLabels"] == labels
    [spread] = pod["spec"]["topologySpreadConstraints"]
    assert spread["labelSelector"]["matchLabels"] == labels
    egress = only(documents, "NetworkPolicy", "finops-egress")["spec"]["podSelector"]["matchLabels"]
    assert egress.items() <= labels.items()


@pytest.mark.parametrize("tier", ["api", "worker"])
def test_probes_ask_paths_that_are_served_at_the_port_that_is_open(documents: Documents, tier: str) -> None:
    _, container = deployment(documents, tier)
    [port] = container["ports"]
    served = WORKER_PATHS if tier == "worker" else set(create_app(load_settings(None, {})).openapi()["paths"])
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        asked = container[probe]["httpGet"]
        assert (asked["port"], asked["path"] in served) == (port["name"], True), probe
    assert container["livenessProbe"]["httpGet"]["path"] == "/health/live"
    assert container["readinessProbe"]["httpGet"]["path"] == "/health/ready"
    [rule] = only(documents, "NetworkPolicy", f"finops-{tier}")["spec"]["ingress"]
    assert rule["ports"] == [{"port": port["name"]}]


@pytest.mark.parametrize("tier", ["api", "worker"])
def test_pods_run_a_command_of_ours_without_rights(documents: Documents, tier: str) -> None:
    pod, container = deployment(documents, tier)
    program, name, *arguments = container["command"]
    command = main.get_command(click.Context(main), name)
    assert (program, name) == ("finops", tier)
    assert command is not None
    command.make_context(name, arguments)  # a usage error raises
    rights = pod["spec"]["securityContext"]
    assert (rights["runAsNonRoot"], rights["runAsUser"], rights["fsGroup"]) == (True, 10001, 10001)
    assert "USER 10001:10001" in (ROOT / "Dockerfile").read_text()
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert {each["name"] for each in container["volumeMounts"]} == {each["name"] for each in pod["spec"]["volumes"]}


def test_ports_are_those_that_the_commands_listen_on(documents: Documents) -> None:
    _, api = deployment(documents, "api")
    assert str(api["ports"][0]["containerPort"]) == api["command"][api["command"].index("--port") + 1]
    _, worker = deployment(documents, "worker")
    variables = {each["name"]: each["value"] for each in worker["env"]}
    assert str(worker["ports"][0]["containerPort"]) == variables["FINOPS_WORKER_METRICS_PORT"]
    assert variables["FINOPS_WORKER_METRICS_HOST"] == "0.0.0.0"
    service = only(documents, "Service", "finops-api")["spec"]
    assert service["selector"] == deployment(documents, "api")[0]["metadata"]["labels"]
    assert [each["targetPort"] for each in service["ports"]] == [api["ports"][0]["name"]]


@pytest.mark.parametrize("tier", ["api", "worker"])
def test_settings_are_valid_and_leave_time_to_end(documents: Documents, tier: str, tmp_path: Path) -> None:
    pod, container = deployment(documents, tier)
    secret = only(documents, "Secret", "finops-secrets")
    assert container["envFrom"] == [{"secretRef": {"name": "finops-secrets"}}]
    [file] = only(documents, "ConfigMap", "finops-config")["data"].items()
    variables = {each["name"]: each["value"] for each in container["env"]}
    [mount] = [each for each in container["volumeMounts"] if each["name"] == "config"]
    assert variables["FINOPS_CONFIG"] == f"{mount['mountPath']}/{file[0]}"
    path = tmp_path / file[0]
    path.write_text(file[1])
    settings = load_settings(path, {**secret["stringData"], **variables})  # an unknown variable or setting raises
    assert settings.auth.admin_key is not None
    assert settings.redis.url is not None
    grace_s = settings.jobs.shutdown_grace_s if tier == "worker" else settings.server.shutdown_grace_s
    program, pause_s = container["lifecycle"]["preStop"]["exec"]["command"]
    assert program == "sleep"
    assert pod["spec"]["terminationGracePeriodSeconds"] > float(pause_s) + grace_s + CLEAN_UP_S


def test_autoscalers_name_what_exists(documents: Documents) -> None:
    target = only(documents, "HorizontalPodAutoscaler", "finops-api")["spec"]["scaleTargetRef"]
    scaled_api = only(documents, target["kind"], target["name"])
    spec = only(documents, "ScaledObject", "finops-worker")["spec"]
    scaled_worker = only(documents, "Deployment", spec["scaleTargetRef"]["name"])
    assert not [each for each in (scaled_api, scaled_worker) if "replicas" in each["spec"]]
    assert "cpu" in deployment(documents, "api")[1]["resources"]["requests"]
    [trigger] = spec["triggers"]
    assert (trigger["type"], trigger["metricType"], trigger["metadata"]["targetValue"]) == (
        "metrics-api", "AverageValue", "1",
    )  # fmt: skip
    url = urlsplit(trigger["metadata"]["url"])
    service, namespace = str(url.hostname).split(".")[:2]
    assert (url.port or 80) == only(documents, "Service", service)["spec"]["ports"][0]["port"]
    assert namespace == "finops"
    described = create_app(load_settings(None, {})).openapi()["paths"][url.path]["get"]["responses"]["200"]
    schema = described["content"]["application/json"]["schema"]
    assert trigger["metadata"]["valueLocation"] in schema["required"]
    access = only(documents, "TriggerAuthentication", trigger["authenticationRef"]["name"])
    [reference] = access["spec"]["secretTargetRef"]
    assert reference["parameter"] == "token"
    assert reference["key"] in only(documents, "Secret", reference["name"])["stringData"]
