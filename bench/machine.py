"""The machine: its shape, where processes run, what they cost."""

import contextlib
import ctypes
import os
import platform
import re
import resource
import signal
from collections.abc import Callable
from pathlib import Path


def shape() -> str:
    model = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text())
    gib = int(memory.group(1)) / 1048576 if memory else 0
    return (
        f"{os.cpu_count()} cores ({model.group(1).strip() if model else 'unknown'}), {gib:.0f} GiB, "
        f"Linux {platform.release()}, Python {platform.python_version()}"
    )


def load() -> float:
    """Load average of the last minute: what else was going on."""
    return os.getloadavg()[0]


def cpu_s(pid: int) -> float:
    """CPU seconds of a process, all its threads, by the scheduler's nanosecond clock; threads that ended are not in."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def tree(pid: int) -> list[int]:
    """A process and all that descend from it."""
    found, new = [pid], [pid]
    while new:
        children = []
        for parent in new:
            for task in Path(f"/proc/{parent}/task").glob("*/children"):
                with contextlib.suppress(OSError):
                    children += [int(child) for child in task.read_text().split()]
        found, new = found + children, children
    return found


def tree_cpu_s(pid: int) -> float:
    """CPU seconds of a process and its descendants, user and system; threads that ended are in."""
    total = 0
    for one in tree(pid):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def rss_kib(pid: int) -> int:
    return int(re.search(r"VmRSS:\s*(\d+)", Path(f"/proc/{pid}/status").read_text()).group(1))


def be_nice(level: int) -> None:
    """Set the priority of this process, what it starts, and its session: with autogroups a process' own means little."""
    os.nice(level)
    with contextlib.suppress(OSError):
        os.setsid()
    with contextlib.suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(level))


def end_with_parent(cores: set[int] | None = None) -> Callable[[], None]:
    """What a child does first: stay on some cores, and not outlive a bench that is killed."""
    prctl = ctypes.CDLL(None).prctl

    def prepare() -> None:
        prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
        if cores:
            os.sched_setaffinity(0, cores)

    return prepare


def many_files() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
