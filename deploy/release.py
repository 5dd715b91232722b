"""Make what a release consists of: the wheel, its checksum, the bill of materials and the notes.

``python deploy/release.py FOLDER`` builds the committed state twice, in two folders with different times of files, and
fails unless both wheels have the same bytes. ``make release`` runs it.
"""

import argparse
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]


def committed(folder: Path, *, mtime: int) -> Path:
    """Write the committed files to a folder, all with one time."""
    archive = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(folder, filter="data")
    for path in folder.rglob("*"):
        os.utime(path, (mtime, mtime))
    return folder


def build(uv: str, source: Path, out: Path) -> Path:
    """Build the wheel of a folder."""
    subprocess.run([uv, "build", "--quiet", "--wheel", "--out-dir", str(out), str(source)], check=True)
    (wheel,) = out.glob("*.whl")
    return wheel


def bill_of_materials(uv: str, source: Path) -> bytes:
    """List what the wheel and its extras install, as CycloneDX."""
    command = [uv, "export", "--quiet", "--frozen", "--no-dev", "--all-extras", "--format", "cyclonedx1.5"]
    found = subprocess.run(command, cwd=source, check=True, capture_output=True).stdout
    assert json.loads(found)["components"]
    return found


def notes(changelog: str, version: str) -> str:
    """Return the section of a version, else of what is not released yet.

    Raises:
        ValueError: The changelog has neither.
    """
    sections = re.split(r"^## ", changelog, flags=re.MULTILINE)[1:]
    for title in (version, "Unreleased"):
        for section in sections:
            head, _, body = section.partition("\n")
            if head.strip("[] \n").startswith(title) and body.strip():
                return f"# {version}\n\n{body.strip()}\n"
    raise ValueError(f"CHANGELOG.md has no section {version} or Unreleased")


def release(out: Path, uv: str) -> Path:
    """Write all artefacts to a folder, and return the wheel.

    Raises:
        SystemExit: The two wheels differ.
    """
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        first = build(uv, source := committed(Path(temporary, "a"), mtime=1_000_000_000), Path(temporary, "wheel-a"))
        second = build(uv, committed(Path(temporary, "b"), mtime=1_500_000_000), Path(temporary, "wheel-b"))
        digest = hashlib.sha256(first.read_bytes()).hexdigest()
        if digest != hashlib.sha256(second.read_bytes()).hexdigest():
            sys.exit("two builds of one state differ")
        wheel = Path(shutil.copy(first, out))
        version = wheel.name.split("-")[1]
        (out / f"{wheel.name}.sha256").write_text(f"{digest}  {wheel.name}\n")
        (out / "sbom.cdx.json").write_bytes(bill_of_materials(uv, source))
        (out / "release-notes.md").write_text(notes((source / "CHANGELOG.md").read_text(encoding="utf-8"), version))
    return wheel


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--uv", default="uv", help="path of uv")
    options = parser.parse_args()
    print(release(options.folder, options.uv))


if __name__ == "__main__":
    main()
