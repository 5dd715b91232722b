"""The wheel alone, in a fresh virtual environment: `finops serve --demo` answers from an empty folder."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import httpx
import pytest

from tests.served import served

ROOT = Path(__file__).parents[2]
UV = shutil.which("uv", path=f"{ROOT / '.tools' / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}")
VERSIONS = ("3.11", "3.12", "3.13", "3.14")


def pythons() -> list[str]:
    """Interpreters to try: the tests' own; `WHEEL_PYTHONS=installed`: every one here that the gateway supports.

    Others are left to `make pythons`, as their packages have to be downloaded.
    """
    if os.environ.get("WHEEL_PYTHONS") != "installed":
        return [sys.executable]
    return [path for version in VERSIONS if (path := installed(f"python{version}"))]


def installed(name: str) -> str | None:
    """Return the path of an interpreter that runs: on PATH, where pyenv's may only complain, or of pyenv's own."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for path in (shutil.which(name), *sorted(map(str, pyenv.glob(f"*/bin/{name}")))):
        if path and subprocess.run([path, "-c", ""], capture_output=True, check=False).returncode == 0:
            return path
    return None


pytestmark = [
    pytest.mark.process,
    pytest.mark.timeout(300),
    pytest.mark.skipif(UV is None, reason="uv is not installed"),
    pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a checkout: a release is of what is committed"),
]


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("UV_PROJECT", "VIRTUAL_ENV"))}
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, check=False, capture_output=True, text=True, timeout=240, env=environ
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of `make release`; making it fails if two builds differ."""
    folder = tmp_path_factory.mktemp("release")
    run(sys.executable, "deploy/release.py", folder, "--uv", str(UV))
    return folder


def test_a_release_has_a_wheel_its_checksum_bill_of_materials_and_notes(release: Path) -> None:
    (wheel,) = release.glob("*.whl")
    checksum = hashlib.sha256(wheel.read_bytes()).hexdigest()
    assert (release / f"{wheel.name}.sha256").read_text() == f"{checksum}  {wheel.name}\n"
    bill = json.loads((release / "sbom.cdx.json").read_text())
    assert bill["bomFormat"] == "CycloneDX"
    assert {"fastapi", "redis", "joserfc", "botocore"} <= {component["name"] for component in bill["components"]}
    assert "pytest" not in {component["name"] for component in bill["components"]}
    assert "###" in (release / "release-notes.md").read_text()
    names = zipfile.ZipFile(wheel).namelist()
    assert {"console/index.html", "api/pages/docs.html", "shared/jobs/lua/submit.lua"} <= set(names)
    assert not [name for name in names if name.startswith(("tests/", "bench/"))]


@pytest.mark.parametrize("python", pythons())
def test_the_wheel_serves_its_demo_from_an_empty_folder(release: Path, tmp_path: Path, python: str) -> None:
    (wheel,) = release.glob("*.whl")
    environment, empty = tmp_path / "venv", tmp_path / "empty"
    empty.mkdir()
    run(str(UV), "venv", "--quiet", "--no-python-downloads", "--python", python, environment)
    pinned = tmp_path / "constraints.txt"
    pinned.write_text(run(str(UV), "export", "--quiet", "--frozen", "--no-dev", "--no-hashes", "--no-emit-project"))
    interpreter = environment / "bin" / "python"
    run(str(UV), "pip", "install", "--quiet", "--python", interpreter, "--constraint", pinned, wheel)
    where = run(interpreter, "-P", "-c", "import api, console, shared; print(api.__file__)", cwd=empty)
    assert where.startswith(str(environment))
    assert "finops" in run(environment / "bin" / "finops", "--version", cwd=empty)
    finops = str(environment / "bin" / "finops")
    with (
        served(empty / "data", "--demo", command=(finops,), cwd=empty) as gateway,
        httpx.Client(base_url=gateway.url, timeout=60, trust_env=False) as client,
    ):
        gateway.wait_until_working()
        asked = {"model": "openai/gpt-4o", "messages": [{"role": "user", "content": "hello"}]}
        answer = client.post("/openai/v1/chat/completions", json=asked)
        assert answer.status_code == 200, answer.text
        assert answer.json()["choices"][0]["message"]["content"]
        job = client.post("/openai/v1/chat/completions", json=asked, headers={"x-bf-async": "true"})
        poll = {"x-bf-async-id": job.headers["x-bf-async-id"], "x-bf-async-wait": "30"}
        assert client.post("/openai/v1/chat/completions", json=asked, headers=poll).json()["choices"]
        assert "<title>" in client.get("/ui").text
