"""Every code block of the documentation runs, or is accepted, as it is written."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from cli.main import main
from shared.inference.route import Routing
from shared.providers.client import gate_of
from shared.providers.health.board import HealthBoard
from shared.providers.registry import configured_providers
from shared.settings.load import load_settings
from tests.served import Served, clean_environ, served

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_TARGET = re.compile(r"^([a-z-]+):.*##", re.MULTILINE)


def blocks(language: str, page: Path) -> list[str]:
    return [text for found, text in _BLOCK.findall(page.read_text()) if found == language]


def examples(language: str) -> list[object]:
    return [
        pytest.param(block, id=f"{page.name}-{at}")
        for page in PAGES
        for at, block in enumerate(blocks(language, page), start=1)
    ]


def command_lines() -> list[object]:
    lines = (line for page in PAGES for block in blocks("sh", page) for line in block.splitlines())
    return sorted({line.partition(" #")[0].strip() for line in lines if line.startswith("finops ")})


@pytest.mark.parametrize("block", examples("toml"))
def test_a_configuration_example_is_accepted(block: str, tmp_path: Path) -> None:
    (tmp_path / "finops.toml").write_text(block)
    environ = {
        name: "0123456789abcdef" * 4 if "ENCRYPTION" in name else f"sk-{name.lower()}-0123456789"
        for name in re.findall(r'"env\.(\w+)"', block)
    }
    settings = load_settings(tmp_path / "finops.toml", environ)
    providers = configured_providers(settings, environ)
    Routing(settings, providers, HealthBoard(providers, {name: gate_of(providers[name]) for name in providers}))


@pytest.mark.parametrize("block", examples("json"))
def test_a_json_example_is_valid(block: str) -> None:
    json.loads(block)


@pytest.mark.parametrize("line", command_lines())
def test_a_finops_command_is_understood(line: str) -> None:
    words = re.findall(r'"[^"]*"|\S+', line.partition(" > ")[0])[1:]
    parse(main, [word.strip('"') for word in words])


def parse(command: click.Command, words: list[str]) -> None:
    """Parse a command line as click does, without running anything."""
    context = command.make_context("finops", words)
    if isinstance(command, click.Group) and context._protected_args:
        name = context._protected_args[0]
        child = command.get_command(context, name)
        assert child, name
        parse(child, context.args)


def test_every_make_target_that_a_page_names_exists() -> None:
    named = {
        target
        for page in PAGES
        for block in blocks("sh", page)
        for target in re.findall(r"^make ([a-z-]+)", block, re.MULTILINE)
    }
    named |= {target for page in PAGES for target in re.findall(r"`make ([a-z-]+)`", page.read_text())}
    assert named
    assert named - set(_TARGET.findall((ROOT / "Makefile").read_text())) == set()


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("examples") / "data", "--demo") as running:
        yield running


PYTHON_PAGES = [page for page in PAGES if blocks("python", page)]
# One process for all pages: the SDK alone takes 0.6 s of CPU to import.
RUN_ALL = """
import os, runpy, sys, traceback
for folder in sys.argv[1:]:
    os.chdir(folder)
    try:
        runpy.run_path("example.py", run_name="__main__")
    except BaseException:
        traceback.print_exc(file=open("error", "w"))
    else:
        open("ended", "w").close()
"""


@pytest.fixture(scope="module")
def python_pages(gateway: Served, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder where the examples of each page have run, each in a folder of its own."""
    folder = tmp_path_factory.mktemp("python-pages")
    line = {"custom_id": "1", "method": "POST", "url": "/v1/chat/completions"}
    body = {"model": "sim/gpt-4o", "messages": [{"role": "user", "content": "Hello"}]}
    for page in PYTHON_PAGES:
        (folder / page.name).mkdir()
        (folder / page.name / "requests.jsonl").write_text(json.dumps({**line, "body": body}) + "\n")
        text = "\n".join(blocks("python", page)).replace("http://127.0.0.1:8080", gateway.url)
        (folder / page.name / "example.py").write_text(text)
    folders = [str(folder / page.name) for page in PYTHON_PAGES]
    command = [sys.executable, "-c", RUN_ALL, *folders]
    subprocess.run(command, env=clean_environ(), capture_output=True, timeout=280, check=True)
    return folder


@pytest.mark.process
@pytest.mark.timeout(300)
@pytest.mark.parametrize("page", PYTHON_PAGES, ids=lambda page: page.name)
def test_the_python_examples_of_a_page_run(page: Path, python_pages: Path) -> None:
    error = python_pages / page.name / "error"
    assert (python_pages / page.name / "ended").exists(), error.read_text() if error.exists() else "it did not run"


@pytest.mark.process
@pytest.mark.parametrize("page", [page for page in PAGES if blocks("js", page)], ids=lambda page: page.name)
def test_the_javascript_examples_of_a_page_run(page: Path, gateway: Served, tmp_path: Path) -> None:
    text = "\n".join(blocks("js", page)).replace("http://127.0.0.1:8080", gateway.url)
    (tmp_path / "example.mjs").write_text(text)
    (tmp_path / "node_modules").symlink_to(ROOT / "tests" / "sdk_js" / "node_modules")
    ended = subprocess.run(
        ["node", "example.mjs"],
        cwd=tmp_path,
        env=clean_environ(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.strip()
