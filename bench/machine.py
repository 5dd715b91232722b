"""The machine: its shape, where processes run, what they cost."""

import contextlib
import os
import platform
import re
import resource
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


def rss_kib(pid: int) -> int:
    return int(re.search(r"VmRSS:\s*(\d+)", Path(f"/proc/{pid}/status").read_text()).group(1))


def pin(pid: int, cores: set[int] | None) -> None:
    """Keep a process, and what it starts from now on, on some cores; None: all of them."""
    everywhere = set(range(os.cpu_count() or 1))
    wanted = (cores or everywhere) & everywhere or everywhere
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            os.sched_setaffinity(int(task.name), wanted)


def be_nice(level: int) -> None:
    """Set the priority of this process, what it starts, and its session: with autogroups a process' own means little."""
    os.nice(level)
    with contextlib.suppress(OSError):
        os.setsid()
    with contextlib.suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(level))


def many_files() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
