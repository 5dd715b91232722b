"""docs/01-start.md, followed as a new user would: from an empty folder to the first answer of a provider behind TLS."""

import json
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import pytest
import uvicorn

from simulator.app import Simulator, create_app
from tests.certificates import make_certificate
from tests.docs.test_examples import ROOT, blocks
from tests.served import FINOPS, Served, clean_environ, served

pytestmark = [pytest.mark.process, pytest.mark.timeout(300)]

PAGE = ROOT / "docs" / "01-start.md"
# What `finops doctor` measures: a machine under load may fail it.
OF_THE_MACHINE = {"store latency", "clock"}
KEY = "sk-proj-a-key-that-the-provider-has-given-out"


@dataclass(frozen=True)
class Provider:
    """A provider at an https address, which knows one key.

    Attributes:
        app: Its application, with the log of its requests.
        environ: What a user sets: the key, and for want of the real address and authority, where it is.
    """

    app: Simulator
    environ: dict[str, str]


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    certificate = make_certificate(tmp_path_factory.mktemp("tls"))
    app = create_app(api_keys=[KEY])
    config = uvicorn.Config(
        app, ws="none", lifespan="off", interface="asgi3", log_config=None,
        ssl_keyfile=certificate.key, ssl_certfile=certificate.file,
    )  # fmt: skip
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        url = f"https://localhost:{listener.getsockname()[1]}/v1"
        yield Provider(
            app,
            {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": url, "SSL_CERT_FILE": str(certificate.authority)},
        )
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def gateway(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """`finops serve` with the provider's key in the environment, and nothing else."""
    folder = tmp_path_factory.mktemp("empty")
    with served(folder / ".finops", cwd=folder, **provider.environ) as running:
        yield running


def run(command: tuple[str, ...], gateway: Served, provider: Provider, codes: Collection[int] = (0,)) -> str:
    """Run a command of the page in the folder of the gateway, in another terminal; its output."""
    ended = subprocess.run(
        command,
        cwd=gateway.data_dir.parent,
        env=clean_environ(**provider.environ, FINOPS_URL=gateway.url),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode in codes, f"{command}: {ended.stdout}{ended.stderr}"
    return ended.stdout


def diagnosis(gateway: Served, provider: Provider) -> list[dict[str, str]]:
    """What `finops doctor` finds there."""
    found: list[dict[str, str]] = json.loads(run((*FINOPS, "doctor", "--json"), gateway, provider, (0, 1)))
    return found


def lines_of(part: str) -> list[tuple[str, ...]]:
    """The `finops` commands of a part of the page, as words."""
    text = PAGE.read_text().split(f"## {part}\n")[1].split("\n## ")[0]
    found = re.findall(r"^finops (.*)", "\n".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL)), re.MULTILINE)
    return [tuple(word.strip('"') for word in re.findall(r'"[^"]*"|\S+', line)) for line in found]


def test_the_page_leads_to_the_first_answer_of_a_real_provider(gateway: Served, provider: Provider) -> None:
    assert "providers: openai\n" in gateway.log
    lines = [line for line in lines_of("Use a real provider") if line[0] != "serve"]
    assert [line[0] for line in lines] == ["doctor", "chat", "usage", "init", "config"]
    outputs = {line[0]: run((*FINOPS, *line), gateway, provider) for line in lines if line[0] != "doctor"}
    levels = {finding["check"]: finding["level"] for finding in diagnosis(gateway, provider)}
    assert (levels["gateway"], levels["provider openai"]) == ("OK", "OK")
    assert {check for check, level in levels.items() if level == "FAIL"} <= OF_THE_MACHINE
    assert outputs["chat"].strip()
    assert "gpt-4o-mini" in outputs["usage"]
    assert 'keys = ["env.OPENAI_API_KEY"]' in (gateway.data_dir.parent / "finops.toml").read_text()
    assert "providers: openai" in outputs["config"]
    requests = [entry for entry in provider.app.log.entries if entry.path.endswith("/chat/completions")]
    assert "gpt-4o-mini" in {request.body["model"] for request in requests}  # beside those of the other test


def test_the_pages_program_runs_against_it(gateway: Served, provider: Provider) -> None:
    (program,) = blocks("python", PAGE)
    assert run((sys.executable, "-c", program.replace("http://127.0.0.1:8080", gateway.url)), gateway, provider).strip()
