"""The official SDK for JavaScript against a whole gateway; the tests themselves are in the ``.test.mjs`` files."""

import re
import subprocess
from pathlib import Path

import orjson
import pytest

from tests.served import Served, clean_environ

HERE = Path(__file__).parent

pytestmark = [pytest.mark.process, pytest.mark.timeout(180)]


@pytest.mark.parametrize("name", ["direct", "jobs"])
def test_the_javascript_sdk(name: str, served_gateway: Served) -> None:
    assert (HERE / "node_modules" / "openai").is_dir(), "run `make setup`"
    environ = clean_environ(GATEWAY_URL=served_gateway.url, NO_PROXY="127.0.0.1")
    ran = subprocess.run(
        ["node", "--test", "--test-reporter=spec", f"{name}.test.mjs"],
        cwd=HERE,
        env=environ,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    counted = re.search(r"tests (\d+)", ran.stdout)
    assert counted, ran.stdout
    assert int(counted[1]) >= 10, ran.stdout


def test_the_lock_file_names_no_registry_and_pins_what_is_tested() -> None:
    lock = (HERE / "package-lock.json").read_text()
    assert '"resolved"' not in lock
    wanted = orjson.loads((HERE / "package.json").read_bytes())["dependencies"]
    assert all(version[0].isdigit() for version in wanted.values())
    locked = orjson.loads(lock)["packages"]
    assert {name: locked[f"node_modules/{name}"]["version"] for name in wanted} == wanted
