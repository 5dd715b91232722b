"""deploy/helm/finops renders what deploy/kubernetes holds, and valid objects with every value changed."""

import copy
import json
import subprocess
import sys
import tomllib
from functools import cache
from typing import Any

import pytest
import yaml

from shared.settings.load import load_settings
from tests.cli.manifests import FOLDER, ROOT, Documents, only, rendered
from tests.cli.schemas import validate

CHART = ROOT / "deploy" / "helm" / "finops"
# In a process of its own: the renderer is Helm's own Go library, with a runtime and signal handlers of its own.
RENDER = """
import json, sys
from helm_python.chart import Chart, lint
folder, release, namespace, values = sys.argv[1:]
try:
    files = Chart.load(folder).render(json.loads(values), name=release, namespace=namespace)
    print(json.dumps({"files": files, "lint": lint(folder, json.loads(values), strict=True)}))
except Exception as error:
    print(json.dumps({"error": str(error)}))
"""
PRODUCTION: dict[str, Any] = {
    "image": {"repository": "registry.example.com/finops-gateway"},
    "api": {"autoscaling": {"min": 3}},
    "worker": {"autoscaling": {"min": 2, "max": 50}},
    "spread": "DoNotSchedule",
    "ingress": {"enabled": True},
}
CHANGED: dict[str, Any] = {
    "image": {"repository": "r.example/f", "tag": "1.2", "pullPolicy": "Always", "pullSecrets": ["pull"]},
    "secretName": "others",
    "config": "[auth]\nrequire_virtual_key = true\n# {{ braces }} and \"quotes\" stay as they are\n",
    "api": {"replicas": 4, "autoscaling": {"enabled": False}},
    "worker": {"replicas": 5, "autoscaling": {"enabled": False}, "terminationGracePeriodSeconds": 90},
    "networkPolicy": {"enabled": False},
    "ingress": {"enabled": True, "host": "*.example.com", "annotations": {}, "paths": ["/v1"]},
    "serviceAccountName": "finops",
    "podAnnotations": {"sidecar.istio.io/inject": "false"},
    "nodeSelector": {"kubernetes.io/arch": "arm64"},
    "tolerations": [{"key": "spot", "operator": "Exists"}],
}  # fmt: skip


@cache
def _answer(values: str, release: str, namespace: str) -> dict[str, Any]:
    command = [sys.executable, "-c", RENDER, str(CHART), release, namespace, values]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    answer: dict[str, Any] = json.loads(ended.stdout)
    return answer


def helm(values: dict[str, Any], release: str = "finops", namespace: str = "finops") -> dict[str, Any]:
    """What Helm makes of the chart: ``files`` and ``lint``, or its ``error``."""
    return _answer(json.dumps(values), release, namespace)


def objects(values: dict[str, Any], release: str = "finops", namespace: str = "finops") -> Documents:
    files = helm(values, release, namespace)["files"]
    texts = [text for name, text in files.items() if name.endswith(".yaml")]
    return [each for text in texts for each in yaml.safe_load_all(text) if each]


def comparable(document: dict[str, Any]) -> dict[str, Any]:
    """An object without what each way of installing adds: labels, a digest of the configuration, its version."""
    text = json.dumps(document)
    for added in ('"app.kubernetes.io/instance": "finops", ', ', "app.kubernetes.io/instance": "finops"'):
        text = text.replace(added, "")
    found: dict[str, Any] = copy.deepcopy(json.loads(text))
    found["metadata"].pop("labels", None)
    if found["kind"] == "ConfigMap":
        found["metadata"]["name"] = "finops-config"
    if found["kind"] == "Deployment":
        template = found["spec"]["template"]
        template["metadata"].pop("annotations", None)
        [container] = template["spec"]["containers"]
        container.pop("imagePullPolicy", None)
        container["image"] = container["image"].partition(":")[0]
        for volume in template["spec"]["volumes"]:
            if "configMap" in volume:
                volume["configMap"]["name"] = "finops-config"
    return found


def by_name(documents: Documents) -> dict[tuple[str, str], dict[str, Any]]:
    kept = [comparable(each) for each in documents if each["kind"] != "Namespace"]
    return {(each["kind"], each["metadata"]["name"]): each for each in kept}


@pytest.mark.parametrize(("values", "folder"), [({}, "base"), (PRODUCTION, "overlays/production")])
def test_the_chart_renders_the_objects_of_kustomize(values: dict[str, Any], folder: str) -> None:
    assert by_name(objects(values)) == by_name(rendered(FOLDER / folder))


@pytest.mark.parametrize("values", [{}, PRODUCTION, CHANGED], ids=["defaults", "production", "changed"])
def test_every_object_is_valid_and_the_linter_is_content(values: dict[str, Any]) -> None:
    for document in objects(values):
        validate(document)
    report = helm(values)["lint"]
    assert (report["errors"], [each for each in report["messages"] if each["severity"] > 1]) == ([], [])


def test_every_value_acts() -> None:
    made = objects(CHANGED, "gateway", "ai")
    assert {each["metadata"]["namespace"] for each in made} == {"ai"}
    assert {each["kind"] for each in made} == {"ConfigMap", "Deployment", "Service", "PodDisruptionBudget", "Ingress"}
    api, worker = (only(made, "Deployment", f"gateway-{tier}")["spec"] for tier in ("api", "worker"))
    assert (api["replicas"], worker["replicas"]) == (4, 5)
    pod = worker["template"]["spec"]
    assert (pod["serviceAccountName"], pod["terminationGracePeriodSeconds"]) == ("finops", 90)
    assert (pod["imagePullSecrets"], pod["nodeSelector"]) == ([{"name": "pull"}], CHANGED["nodeSelector"])
    assert pod["tolerations"] == CHANGED["tolerations"]
    [container] = pod["containers"]
    assert (container["image"], container["imagePullPolicy"]) == ("r.example/f:1.2", "Always")
    assert container["envFrom"] == [{"secretRef": {"name": "others"}}]
    annotations = worker["template"]["metadata"]["annotations"]
    assert annotations["sidecar.istio.io/inject"] == "false"
    config = only(made, "ConfigMap", "gateway-config")["data"]["finops.toml"]
    assert config == CHANGED["config"]
    [rule] = only(made, "Ingress", "gateway")["spec"]["rules"]
    assert (rule["host"], [path["path"] for path in rule["http"]["paths"]]) == ("*.example.com", ["/v1"])


def test_a_changed_configuration_replaces_the_pods_and_releases_do_not_share_theirs() -> None:
    def template(values: dict[str, Any], release: str = "finops") -> Any:
        return only(objects(values, release), "Deployment", f"{release}-api")["spec"]["template"]["metadata"]

    assert template({})["annotations"] != template(CHANGED)["annotations"]
    assert template({}, "one")["labels"]["app.kubernetes.io/instance"] == "one"


@pytest.mark.parametrize(
    "values", [{"imagee": {}}, {"image": {"tagg": "x"}}, {"api": {"replicas": "two"}}, {"spread": "never"}]
)
def test_a_value_that_does_not_exist_is_refused(values: dict[str, Any]) -> None:
    assert "values don't meet the specifications of the schema" in helm(values)["error"]


def test_the_default_configuration_is_valid(tmp_path: Any) -> None:
    file = tmp_path / "finops.toml"
    file.write_text(only(objects({}), "ConfigMap", "finops-config")["data"]["finops.toml"])
    assert load_settings(file, {}).auth.require_virtual_key is True


def test_every_value_is_in_the_schema_and_the_version_is_the_packages() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    tier = schema["definitions"]["tier"]["properties"]
    assert set(schema["properties"]) - {"global"} == set(values)
    for name, value in values.items():
        described = tier if name in {"api", "worker"} else schema["properties"][name].get("properties")
        if described is not None:
            assert set(value) <= set(described), name
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert (chart["version"], chart["appVersion"]) == (version, version)
