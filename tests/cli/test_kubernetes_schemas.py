"""Every object of deploy/kubernetes is valid by the schemas of Kubernetes and KEDA, unknown fields refused."""

import copy
from typing import Any

import jsonschema
import pytest
import yaml

from tests.cli.manifests import FOLDER, OVERLAYS, Documents, kubectl, rendered, secret
from tests.cli.schemas import validate


def every_object() -> Documents:
    return [each for name in OVERLAYS for each in rendered(FOLDER / "overlays" / name)]


@pytest.mark.parametrize("folder", ["base", *(f"overlays/{name}" for name in OVERLAYS)])
def test_every_rendered_object_is_valid(folder: str) -> None:
    for document in rendered(FOLDER / folder):
        validate(document)


def test_the_example_of_the_secret_is_valid() -> None:
    validate(secret())


def test_kubectl_accepts_the_names_and_values_of_the_secret() -> None:
    literals = [f"--from-literal={name}={value}" for name, value in secret()["stringData"].items()]
    made = kubectl("create", "secret", "generic", "finops-secrets", *literals, "--dry-run=client", "-o", "yaml")
    assert set(yaml.safe_load(made)["data"]) == set(secret()["stringData"])


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("Deployment", ("spec", "template", "spec", "containers", 0, "imagePullPolice"), "Always"),
        ("Deployment", ("spec", "template", "spec", "terminationGracePeriodSeconds"), "60"),
        ("PodDisruptionBudget", ("spec", "maxUnavailable"), [1]),
        ("ScaledObject", ("spec", "maxReplicas"), 20),
        ("ScaledObject", ("spec", "triggers", 0, "metadata", "targetValue"), 1),
        ("ScaledObject", ("spec", "pollingInterval"), "5s"),
        ("TriggerAuthentication", ("spec", "secretTargetRef", 0, "key"), None),
    ],
)
def test_a_mistake_is_found(kind: str, path: tuple[str | int, ...], value: object) -> None:
    document = copy.deepcopy(next(each for each in every_object() if each["kind"] == kind))
    parent: Any = document
    for step in path[:-1]:
        parent = parent[step]
    if value is None:
        del parent[path[-1]]
    else:
        parent[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        validate(document)
