import os
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from cli.__main__ import run
from cli.main import LazyGroup, main
from cli.overview import COMMANDS, print_overview
from tests.cli.conftest import Finops


def walk(command: click.Command, path: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Every command there is, as the words that call it."""
    if not isinstance(command, click.Group):
        return [path]
    context = click.Context(command)
    found = [path]
    for name in command.list_commands(context):
        below = command.get_command(context, name)
        assert below is not None
        found += walk(below, (*path, name))
    return found


EVERY_COMMAND = walk(main, ())


def test_the_overview_names_every_command_without_importing_one(finops: Finops) -> None:
    document = finops("--help")
    assert document.exit_code == 0
    for name, summary in COMMANDS.items():
        assert f"{name}  " in document.output
        assert summary in document.output
    code = "import sys; from cli.main import main; main(['--help'], standalone_mode=False); print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "click" in loaded
    assert not {"cli.commands.serve", "httpx", "rich", "pydantic", "fastapi", "redis", "openai"} & set(loaded)


def test_the_overview_loads_few_modules() -> None:
    """Imports are what a start takes: 0.2 s of CPU with these, whatever the machine does meanwhile."""
    bare = loaded_by("0")
    loaded = loaded_by("from cli.main import main\nmain(['--help'], standalone_mode=False)\n0")
    assert 20 < len(loaded - bare) < 120


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_the_overview_without_click_is_the_text_of_click(
    option: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    assert print_overview("finops", [option])
    assert capsys.readouterr().out == CliRunner().invoke(main, [option], prog_name="finops").output


@pytest.mark.parametrize(
    ("columns", "arguments"),
    [
        ("60", ["--help"]),
        ("100", []),
        ("100", ["--version"]),
        ("100", ["serve", "--help"]),
        ("100", ["--help", "serve"]),
    ],
)
def test_all_else_is_left_to_click(columns: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert not print_overview("finops", arguments)


@pytest.mark.parametrize("columns", ["", "0", "many"])
def test_without_a_width_there_are_80_columns(
    columns: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_terminal(descriptor: int) -> os.terminal_size:
        raise OSError(descriptor)

    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setattr(os, "get_terminal_size", no_terminal)
    monkeypatch.setattr(sys, "argv", ["/usr/bin/finops", "--help"])
    run()
    assert capsys.readouterr().out.startswith("Usage: finops [OPTIONS]")


def test_the_entry_point_runs_commands(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["finops", "--version"])
    with pytest.raises(SystemExit):
        run()
    assert capsys.readouterr().out.startswith("finops, version ")


def test_the_overview_is_printed_without_click() -> None:
    loaded = loaded_by(
        "import os, sys; os.environ['COLUMNS'] = '80'; sys.argv = ['finops', '--help']; "
        "from cli.__main__ import run; run()"
    )
    assert "cli.overview" in loaded
    assert not {"click", "cli.main"} & loaded


@pytest.mark.parametrize("words", EVERY_COMMAND, ids=" ".join)
def test_every_command_has_help_with_an_example(finops: Finops, words: tuple[str, ...]) -> None:
    document = finops(*words, "--help")
    assert document.exit_code == 0
    assert f"  finops {words[0] if words else 'serve'}" in document.output.partition("Examples:")[2]


def test_version_is_printed(finops: Finops) -> None:
    document = finops("--version")
    assert document.exit_code == 0
    assert "finops" in document.output


@pytest.mark.parametrize(
    "words",
    [
        ("nonsense",),
        ("serve", "--port", "70000"),
        ("jobs", "submit", "--type", "poem"),
        ("jobs", "get"),
        ("worker", "--queues", "urgent"),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_exit_code_2(finops: Finops, words: tuple[str, ...]) -> None:
    refused = finops(*words)
    assert refused.exit_code == 2
    assert "Error:" in refused.output


def test_an_unknown_command_is_none() -> None:
    group = LazyGroup("finops")
    assert group.get_command(click.Context(group), "nonsense") is None


def test_the_module_runs_as_the_command() -> None:
    document = subprocess.run([sys.executable, "-P", "-m", "cli", "--help"], capture_output=True, text=True, check=True)
    assert document.stdout.startswith("Usage: ")


HEAVY = frozenset({"httpx", "rich", "pydantic", "fastapi", "redis", "arq", "cryptography", "openai", "asyncio"})


def loaded_by(code: str) -> set[str]:
    """The modules of a fresh process that ran the code; blocked ones do not count."""
    code += "; import sys; print(*(name for name, module in sys.modules.items() if module is not None))"
    reply = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(reply.stdout.splitlines()[-1].split())


def test_help_imports_nothing_that_only_running_a_command_needs() -> None:
    calls = [[*words, "--help"] for words in EVERY_COMMAND]
    loaded = loaded_by(f"from cli.main import main\nfor words in {calls!r}: main(words, standalone_mode=False)\n0")
    assert "cli.commands.serve" in loaded
    assert not HEAVY & loaded


def test_a_command_that_speaks_http_loads_no_settings_and_no_command_line_of_httpx() -> None:
    arguments = ["jobs", "list", "--url", "http://127.0.0.1:1"]
    loaded = loaded_by(
        f"from cli.main import main\ntry: main({arguments!r}, standalone_mode=False)\nexcept Exception: 0\n0"
    )
    assert "httpx" in loaded
    assert (
        not {"httpx._main", "pygments", "pydantic", "shared.settings.model", "redis", "fastapi", "cryptography"}
        & loaded
    )


def test_the_supervisor_loads_no_client_and_no_server() -> None:
    loaded = loaded_by(
        "import cli.main, cli.supervisor.foreground, cli.options; cli.options.settings_of({})",
    )
    assert "pydantic" in loaded
    assert not {"httpx", "rich", "fastapi", "uvicorn", "redis", "arq", "cryptography"} & loaded
