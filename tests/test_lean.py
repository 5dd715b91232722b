"""What a process is spared."""

import subprocess
import sys

import pytest

from shared.startup import without_pydantic_plugins


def test_httpx_works_without_its_command_line() -> None:
    code = (
        "import sys; from shared.startup import without_httpx_command_line as spare; spare(); spare(); import httpx;"
        "httpx.Request('GET', 'http://localhost'); assert 'rich' not in sys.modules; spare()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_process_that_has_httpx_is_left_alone() -> None:
    code = (
        "import sys, httpx; before = sys.modules.get('httpx._main');"
        "from shared.startup import without_httpx_command_line as spare; spare();"
        "assert sys.modules.get('httpx._main') is before"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_redis_does_not_load_pyjwt_and_whoever_needs_it_still_gets_it() -> None:
    code = (
        "import sys; from shared.startup import skip_unused_imports as skip; skip(); import redis.asyncio; skip();"
        "assert not {'jwt.algorithms', 'cryptography.x509'} & set(sys.modules);"
        "import jwt; assert jwt.decode(jwt.encode({'a': 1}, 'k' * 32, 'HS256'), 'k' * 32, ['HS256']) == {'a': 1}"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_process_without_pyjwt_is_left_alone() -> None:
    code = (
        "import importlib.util, sys; from shared.startup import defer_unused_modules as defer;"
        "importlib.util.find_spec = lambda name: None; defer(); assert 'jwt' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("chosen", ["", "logfire", "__all__"])
def test_pydantic_looks_for_no_plugins_unless_asked_to(chosen: str) -> None:
    environ = {"PYDANTIC_DISABLE_PLUGINS": chosen} if chosen else {}
    without_pydantic_plugins(environ)
    assert environ == {"PYDANTIC_DISABLE_PLUGINS": chosen or "__all__"}


def test_fastapi_works_without_version_1_of_pydantic() -> None:
    code = (
        "import sys; from shared.startup import without_pydantic_v1 as skip; skip(); skip();"
        "import api.framework; assert sys.modules['pydantic.v1'] is None"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_uvicorn_serves_without_its_command_line() -> None:
    code = (
        "import sys; from shared.startup import skip_unused_imports, without_uvicorn_command_line as skip;"
        "skip_unused_imports(); skip(); import api.server;"
        "import uvicorn.server; skip(); assert uvicorn.Server is uvicorn.server.Server and uvicorn.run is None;"
        "assert 'click' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_api_process_serves_before_the_framework_is_loaded() -> None:
    code = "import sys, api.server; assert 'fastapi' not in sys.modules and 'starlette.routing' in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_start_collects_garbage_more_rarely() -> None:
    code = (
        "import gc; from shared.startup import collect_rarely; collect_rarely(); assert gc.get_threshold()[0] == 50_000"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_prices_are_read_without_the_client_that_would_download_them() -> None:
    code = (
        "import sys; from shared.startup import skip_unused_imports as skip; skip(); import genai_prices.data_snapshot;"
        "assert 'httpx2._client' not in sys.modules; genai_prices.data_snapshot.get_snapshot();"
        "import httpx2; assert httpx2.Timeout(5).connect == 5"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
