"""Every object of deploy/kubernetes is valid by the schemas of Kubernetes and KEDA, unknown fields refused."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from tests.cli.manifests import FOLDER, OVERLAYS, Documents, kubectl, rendered, secret

KUBERNETES = "1.37"
KEDA = Path(__file__).parent / "keda"


def closed(schema: Any) -> Any:
    """A structural schema that refuses what it does not name, as `kubectl apply` does."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {name: closed(value) for name, value in schema.items()}
    if isinstance(kept.get("properties"), dict) and kept.get("type") == "object":
        kept.setdefault("additionalProperties", False)
    return kept


def custom_kinds() -> Iterator[tuple[tuple[str, str], jsonschema.Draft202012Validator]]:
    for path in sorted(KEDA.glob("*.yaml")):
        spec = yaml.safe_load(path.read_text())["spec"]
        [version] = spec["versions"]
        validator = jsonschema.Draft202012Validator(closed(version["schema"]["openAPIV3Schema"]))
        yield (f"{spec['group']}/{version['name']}", spec["names"]["kind"]), validator


CUSTOM = dict(custom_kinds())


def validate(document: dict[str, Any]) -> None:
    """Validate an object by the schema of its kind; a kind without one is an error as well."""
    custom = CUSTOM.get((document["apiVersion"], document["kind"]))
    if custom is not None:
        custom.validate(document)
        return
    assert kubernetes_validate.validate(document, KUBERNETES, strict=True) == KUBERNETES


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
