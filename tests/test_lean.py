"""What a process is spared."""

import subprocess
import sys


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
