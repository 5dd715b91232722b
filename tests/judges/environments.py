"""The clients' own environments, apart from ours and from each other: their requirements contradict."""

import hashlib
import os
import platform
import subprocess
import tarfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
KEPT = ROOT / ".judges"
JS = HERE / "js"
TOOLS = ROOT / ".tools" / "bin"


def python_of(name: str) -> Path:
    """The interpreter of an environment that holds exactly what ``requirements/<name>.txt`` says."""
    requirements = HERE / "requirements" / f"{name}.txt"
    folder = KEPT / name
    python = folder / "bin" / "python"
    stamp = folder / "made-of"
    made_of = hashlib.sha256(requirements.read_bytes()).hexdigest()
    if not stamp.is_file() or stamp.read_text() != made_of:
        _run(TOOLS / "uv", "venv", "-q", "--clear", "--python", os.environ.get("PYTHON", "python3"), folder)
        _run(TOOLS / "uv", "pip", "sync", "-q", "--python", python, requirements)
        stamp.write_text(made_of)
    return python


def node_modules() -> Path:
    """The folder of the JavaScript packages, as locked."""
    folder = JS / "node_modules"
    stamp = folder / ".installed"
    if not stamp.is_file() or stamp.stat().st_mtime < (JS / "package-lock.json").stat().st_mtime:
        _run("npm", "ci", "--silent", "--no-audit", "--no-fund", cwd=JS)
        stamp.touch()
    return folder


def node() -> Path | str:
    """Node.js 22, which the newest SDKs need: the packaged one where there is one, else the machine's own."""
    packaged = node_modules() / f"node-linux-{platform.machine().replace('x86_64', 'x64')}" / "bin" / "node"
    return packaged if packaged.is_file() else "node"


def source_of(package: str, version: str) -> Path:
    """The folder of a package's source distribution: it holds the package's own tests."""
    folder = KEPT / "sources" / f"{package}-{version}"
    if not folder.is_dir():
        parent = folder.parent
        _run(
            TOOLS / "pip", "download", "-q", "--disable-pip-version-check", "--no-deps", "--no-binary", ":all:",
            "-d", parent, f"{package}=={version}",
        )  # fmt: skip
        with tarfile.open(parent / f"{package}-{version}.tar.gz") as archive:
            archive.extractall(parent, filter="data")
    return folder


def pinned(name: str, package: str) -> str:
    """The version of a package in an environment."""
    lines = (HERE / "requirements" / f"{name}.txt").read_text().splitlines()
    return next(line.partition("==")[2] for line in lines if line.startswith(f"{package}=="))


def _run(*command: str | Path, cwd: Path = ROOT) -> None:
    subprocess.run([str(word) for word in command], cwd=cwd, check=True, stderr=subprocess.PIPE)
