"""The schemas of Kubernetes and KEDA. Unknown fields are refused."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import yaml

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
