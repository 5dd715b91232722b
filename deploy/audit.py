"""`make audit`: asks for known vulnerabilities of every locked package, for the product and for its tests.

pip-audit asks the package index. Where that has no such service, or cannot be reached, this says so and succeeds: a
build without the internet is no vulnerable one. A known vulnerability fails, unless ``ACCEPTED`` names it with a reason.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
UV = ROOT / ".tools/bin/uv"
PIP_AUDIT = "pip-audit>=2.9,<3"

ACCEPTED: Mapping[str, str] = {}
"""Identifiers of vulnerabilities that do not concern us, with the reason."""


class Audit(NamedTuple):
    """What is known of some packages.

    Attributes:
        asked: Packages that the index answered for.
        unknown: Packages that it did not know.
        vulnerabilities: One line each: the package, the identifier, and where it is mended.
    """

    asked: int
    unknown: tuple[str, ...]
    vulnerabilities: tuple[str, ...]


def read_report(report: Mapping[str, Any], accepted: Iterable[str] = ACCEPTED) -> Audit:
    """Read pip-audit's report in JSON."""
    accepted = set(accepted)
    asked, unknown, found = 0, [], []
    for package in report["dependencies"]:
        name = f"{package['name']} {package.get('version', '')}".strip()
        if "skip_reason" in package:
            unknown.append(name)
            continue
        asked += 1
        for vulnerability in package["vulns"]:
            if accepted.isdisjoint({vulnerability["id"], *vulnerability.get("aliases", ())}):
                mended = ", ".join(vulnerability["fix_versions"]) or "no release yet"
                found.append(f"{name}: {vulnerability['id']} (mended in {mended})")
    return Audit(asked, tuple(unknown), tuple(found))


def conclude(audit: Audit | None) -> tuple[str, int]:
    """Return what to print, and the exit status.

    Args:
        audit: None: nothing could be asked.
    """
    if audit is None or not audit.asked:
        return "audit: NOT DONE: the package index answers no questions about vulnerabilities here", 0
    if audit.vulnerabilities:
        return "\n".join(("audit: known vulnerabilities:", *audit.vulnerabilities)), 1
    left_out = f"; unknown to the index: {', '.join(audit.unknown)}" if audit.unknown else ""
    return f"audit: {audit.asked} packages, no known vulnerability{left_out}", 0


def ask(requirements: Iterable[str], folder: Path) -> Audit | None:
    """Run pip-audit on pinned requirements; None: it could not ask."""
    listed = folder / "requirements.txt"
    listed.write_text("\n".join(requirements))
    command = [str(UV), "tool", "run", "--quiet", "--python", sys.executable, "--from", PIP_AUDIT, "pip-audit"]
    command += ["-r", str(listed), "--no-deps", "--disable-pip", "--progress-spinner=off", "-f", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    try:
        return read_report(json.loads(done.stdout))
    except ValueError:
        print(done.stderr[-500:], file=sys.stderr)
        return None


def locked() -> list[str]:
    """Return every package of uv.lock as ``name==version``."""
    command = [str(UV), "export", "--quiet", "--frozen", "--all-extras", "--all-groups"]
    listed = subprocess.run(
        [*command, "--no-hashes", "--no-emit-project", "--no-annotate", "--no-header"],
        capture_output=True, text=True, check=True, cwd=ROOT,
    ).stdout  # fmt: skip
    return [line.strip() for line in listed.splitlines() if "==" in line]


def main() -> int:
    """Audit the lock file; return the exit status."""
    packages = locked()
    with tempfile.TemporaryDirectory() as folder:
        audit = ask(packages[:1], Path(folder))  # one question tells whether anybody answers
        if audit is not None and audit.asked:
            audit = ask(packages, Path(folder))
    message, status = conclude(audit)
    print(message)
    return status


if __name__ == "__main__":
    raise SystemExit(main())
