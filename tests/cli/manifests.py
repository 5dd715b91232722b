"""The objects of deploy/kubernetes, as kustomize renders them. kubectl is a package of the development group."""

import functools
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"
OVERLAYS = sorted(path.name for path in (FOLDER / "overlays").iterdir())
KUBECTL = Path(sysconfig.get_path("scripts")) / "kubectl"
Documents = list[dict[str, Any]]


def kubectl(*arguments: str) -> str:
    """Run kubectl without a cluster.

    Returns:
        What it printed.
    """
    ended = subprocess.run([KUBECTL, *arguments], capture_output=True, text=True, timeout=60, check=False, cwd=ROOT)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@functools.cache
def rendered(folder: Path) -> Documents:
    """Render a kustomization: its objects."""
    return list(yaml.safe_load_all(kubectl("kustomize", str(folder))))


def secret() -> dict[str, Any]:
    """The example of the Secret, which is in no kustomization."""
    loaded: dict[str, Any] = yaml.safe_load((FOLDER / "secret.example.yaml").read_text())
    return loaded


def only(documents: Documents, kind: str, name: str) -> dict[str, Any]:
    """Find an object by kind and name."""
    [found] = [each for each in documents if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    return found
