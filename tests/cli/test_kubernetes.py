"""deploy/kubernetes, held against the commands, settings and paths that exist. No cluster is needed."""

import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
import pytest
import yaml

from cli.main import main
from cli.supervisor.system import CLEAN_UP_S
from shared.settings.load import load_settings
from tests.cli.manifests import FOLDER, OVERLAYS, ROOT, Documents, only, rendered, secret
from tests.document import openapi

WORKER_PATHS = {"/metrics", "/health/live", "/health/ready"}
BASE_KINDS = {
    "Namespace", "ConfigMap", "Service", "Deployment", "PodDisruptionBudget", "NetworkPolicy",
    "HorizontalPodAutoscaler", "TriggerAuthentication", "ScaledObject",
}  # fmt: skip
RESTRICTED = {
    "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
}  # fmt: skip


@pytest.fixture(scope="module", params=OVERLAYS)
def documents(request: pytest.FixtureRequest) -> Documents:
    return rendered(FOLDER / "overlays" / request.param)


def production() -> Documents:
    return rendered(FOLDER / "overlays" / "production")


def deployment(documents: Documents, tier: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a tier's pod and its only container."""
    pod: dict[str, Any] = only(documents, "Deployment", f"finops-{tier}")["spec"]["template"]
    [container] = pod["spec"]["containers"]
    return pod, container


def configuration(documents: Documents) -> tuple[str, str, str]:
    """The generated ConfigMap: its name, and its only file with its text."""
    [found] = [each for each in documents if each["kind"] == "ConfigMap"]
    [(file, text)] = found["data"].items()
    return found["metadata"]["name"], file, text


def test_every_object_is_in_one_namespace_and_named_once(documents: Documents) -> None:
    named = [each for each in documents if each["kind"] != "Namespace"]
    assert {each["metadata"]["namespace"] for each in named} == {"finops"}
    ids = [(each["kind"], each["metadata"]["name"]) for each in named]
    assert len(set(ids)) == len(ids)


def test_production_has_all_of_the_base_and_an_ingress_and_the_trial_no_autoscaler() -> None:
    assert {each["kind"] for each in rendered(FOLDER / "base")} == BASE_KINDS
    assert {each["kind"] for each in production()} == BASE_KINDS | {"Ingress"}
    trial = rendered(FOLDER / "overlays" / "trial")
    scaled = {"HorizontalPodAutoscaler", "TriggerAuthentication", "ScaledObject"}
    assert {each["kind"] for each in trial} == BASE_KINDS - scaled
    assert {each["metadata"]["name"] for each in trial if each["kind"] == "Deployment"} == {
        "finops-api", "finops-worker", "finops-redis", "finops-simulator",
    }  # fmt: skip


def test_every_file_of_a_kustomization_is_in_it() -> None:
    for path in FOLDER.rglob("kustomization.yaml"):
        kustomization = yaml.safe_load(path.read_text())
        listed = {name for name in kustomization["resources"] if name.endswith(".yaml")}
        assert listed == {each.name for each in path.parent.glob("*.yaml")} - {path.name}


def test_pods_run_without_rights_and_the_image_is_the_overlays(documents: Documents) -> None:
    for each in documents:
        if each["kind"] != "Deployment":
            continue
        pod = each["spec"]["template"]
        [container] = pod["spec"]["containers"]
        assert each["spec"]["selector"]["matchLabels"] == pod["metadata"]["labels"]
        assert container["securityContext"] == RESTRICTED
        rights = pod["spec"]["securityContext"]
        assert (rights["runAsNonRoot"], rights["seccompProfile"]["type"]) == (True, "RuntimeDefault")
        assert pod["spec"]["automountServiceAccountToken"] is False
        assert ":" in container["image"]
        assert {mount["name"] for mount in container["volumeMounts"]} == {
            each["name"] for each in pod["spec"]["volumes"]
        }


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
    served = WORKER_PATHS if tier == "worker" else set(openapi()["paths"])
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        asked = container[probe]["httpGet"]
        assert (asked["port"], asked["path"] in served) == (port["name"], True), probe
    assert container["livenessProbe"]["httpGet"]["path"] == "/health/live"
    assert container["readinessProbe"]["httpGet"]["path"] == "/health/ready"
    [rule] = only(documents, "NetworkPolicy", f"finops-{tier}")["spec"]["ingress"]
    assert rule["ports"] == [{"port": port["name"]}]


@pytest.mark.parametrize("tier", ["api", "worker"])
def test_pods_run_a_command_of_ours_as_the_user_of_the_image(documents: Documents, tier: str) -> None:
    pod, container = deployment(documents, tier)
    program, name, *arguments = container["command"]
    command = main.get_command(click.Context(main), name)
    assert (program, name) == ("finops", tier)
    assert command is not None
    command.make_context(name, arguments)  # a usage error raises
    rights = pod["spec"]["securityContext"]
    assert (rights["runAsUser"], rights["fsGroup"]) == (10001, 10001)
    assert "USER 10001:10001" in (ROOT / "Dockerfile").read_text()


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
    assert container["envFrom"] == [{"secretRef": {"name": "finops-secrets"}}]
    name, file, text = configuration(documents)
    [volume] = [each for each in pod["spec"]["volumes"] if each["name"] == "config"]
    assert volume["configMap"]["name"] == name, "a changed file has another name, which replaces the pods"
    variables = {each["name"]: each["value"] for each in container["env"]}
    [mount] = [each for each in container["volumeMounts"] if each["name"] == "config"]
    assert variables["FINOPS_CONFIG"] == f"{mount['mountPath']}/{file}"
    path = tmp_path / file
    path.write_text(text)
    variables |= {**secret()["stringData"], "TRIAL_KEY": "sk-bf-trial-0123456789"}
    settings = load_settings(path, variables)  # an unknown variable or setting raises
    assert settings.auth.admin_key is not None
    assert settings.redis.url is not None
    grace_s = settings.jobs.shutdown_grace_s if tier == "worker" else settings.server.shutdown_grace_s
    program, pause_s = container["lifecycle"]["preStop"]["exec"]["command"]
    assert program == "sleep"
    assert pod["spec"]["terminationGracePeriodSeconds"] > float(pause_s) + grace_s + CLEAN_UP_S


def test_autoscalers_name_what_exists() -> None:
    documents = production()
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
    described = openapi()["paths"][url.path]["get"]["responses"]["200"]
    schema = described["content"]["application/json"]["schema"]
    assert trigger["metadata"]["valueLocation"] in schema["required"]
    access = only(documents, "TriggerAuthentication", trigger["authenticationRef"]["name"])
    [reference] = access["spec"]["secretTargetRef"]
    assert reference["parameter"] == "token"
    assert reference["key"] in secret()["stringData"]
    assert reference["name"] == secret()["metadata"]["name"]


def test_the_ingress_leads_to_the_callers_paths_alone() -> None:
    [ingress] = [each for each in production() if each["kind"] == "Ingress"]
    [rule] = ingress["spec"]["rules"]
    assert [each["path"] for each in rule["http"]["paths"]] == ["/v1", "/openai", "/anthropic", "/genai"]
    service = only(production(), "Service", "finops-api")["spec"]
    for each in rule["http"]["paths"]:
        assert each["backend"]["service"] == {"name": "finops-api", "port": {"name": service["ports"][0]["name"]}}
    timeout_s = float(ingress["metadata"]["annotations"]["nginx.ingress.kubernetes.io/proxy-read-timeout"])
    assert timeout_s > load_settings(None, {}).server.max_total_s


def test_the_trial_reaches_its_own_redis_and_simulator() -> None:
    trial = rendered(FOLDER / "overlays" / "trial")
    provider = tomllib.loads(configuration(trial)[2])["providers"]["sim"]
    for name, port in (("finops-simulator", urlsplit(provider["base_url"]).port), ("finops-redis", 6379)):
        service = only(trial, "Service", name)["spec"]
        pod = only(trial, "Deployment", name)["spec"]["template"]
        [opened] = pod["spec"]["containers"][0]["ports"]
        assert service["selector"] == pod["metadata"]["labels"]
        assert [each["port"] for each in service["ports"]] == [port] == [opened["containerPort"]]
        assert [each["targetPort"] for each in service["ports"]] == [opened["name"]]
        policy = only(trial, "NetworkPolicy", name)["spec"]
        assert policy["podSelector"]["matchLabels"] == pod["metadata"]["labels"]
        assert [each["ports"] for each in policy["ingress"]] == [[{"port": opened["name"]}]]
    _, simulator = deployment(trial, "simulator")
    program, name, *arguments = simulator["command"]
    command = main.get_command(click.Context(main), name)
    assert program == "finops"
    assert command is not None
    assert command.make_context(name, arguments).params["port"] == 9100
