"""How many instructions a call and a streamed event take inside our process: a figure that a busy machine cannot disturb.

    python -m bench.instructions                              # a minute; needs valgrind
    python -m bench.instructions --against /path/to/checkout  # another checkout too, with the packages of this one

Time differs by 10 % from run to run; instructions differ by less than 1 %, because of what runs in the background. The
application is that of ``socketless.py``: no system calls for requests, which come on top.
"""

import argparse
import asyncio
import gc
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WARM_UP = 6


async def count(kind: str, batches: int) -> None:
    """Run inside valgrind: have it count some batches of calls, or of events."""
    from bench import samples
    from bench.socketless import application, request_bytes

    async with application({}) as inside:
        whole, streamed = (request_bytes(samples.request("mock/gpt-4o", **more)) for more in ({}, {"stream": True}))
        for _ in range(WARM_UP):
            await inside.calls(whole)
        if kind == "event":
            await inside.calls(streamed)
            for _ in range(20):
                await asyncio.sleep(0)
        gc.collect()
        gc.freeze()
        gc.disable()
        _control("--instr=on")
        await _batch(inside, kind, whole)  # the first translates the code
        _control("--zero")
        for _ in range(batches):
            await _batch(inside, kind, whole)
        _control("--dump")
        os._exit(0)  # the open streams would be waited for


async def _batch(inside, kind: str, whole: bytes) -> None:
    await (inside.events() if kind == "event" else inside.calls(whole))


def _control(order: str) -> None:
    subprocess.run(["callgrind_control", order, str(os.getpid())], check=True, stdout=subprocess.DEVNULL)


def counted(root: Path, kind: str, batches: int) -> float:
    """Return the instructions of one call or event of a checkout."""
    from bench.socketless import AT_ONCE

    with tempfile.TemporaryDirectory(prefix="finops-bench-") as directory:
        command = [
            "valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={directory}/counts",
            sys.executable, __file__, "--inner", kind, "--batches", str(batches),
        ]  # fmt: skip
        environ = {**os.environ, "PYTHONPATH": str(root), "PYTHONHASHSEED": "0"}
        subprocess.run(command, cwd=root, env=environ, check=True, stderr=subprocess.DEVNULL)
        totals = [
            int(n)
            for file in Path(directory).iterdir()
            for n in re.findall(r"^totals: (\d+)", file.read_text(), re.MULTILINE)
        ]
    return max(totals) / batches / AT_ONCE


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--batches", type=int, default=20, help="of 32 calls or events each")
    parser.add_argument("--against", type=Path, help="another checkout")
    parser.add_argument("--keep", action="store_true", help="make the table the current one in RESULTS.md")
    parser.add_argument("--inner", choices=("call", "event"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inner:
        sys.path.insert(0, os.getcwd())
        import uvloop

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(count(options.inner, options.batches))
    if shutil.which("valgrind") is None:
        raise SystemExit("valgrind is not installed")
    from bench import machine
    from bench.report import Report, number, ratio, table

    report = Report("Instructions", [machine.shape()])
    roots = [ROOT, *([options.against.resolve()] if options.against else [])]
    rows = []
    for kind in ("call", "event"):
        found = [counted(root, kind, options.batches) for root in roots]
        rows.append([kind, *(number(value) + ratio(value, found[0]) for value in found)])
    head = ["", "this checkout", *(["the other one"] if options.against else [])]
    report.section("Inside our process", table(head, rows))
    if options.keep:
        report.keep()
    return 0


if __name__ == "__main__":
    sys.exit(main())
