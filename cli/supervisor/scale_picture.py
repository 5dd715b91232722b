"""The picture of `finops bench scale`: load, queue, workers and waits over time, as SVG."""

from collections.abc import Callable, Sequence
from html import escape
from typing import Final

from cli.supervisor.scaling import ScaleRun

FONT: Final = "Helvetica, Arial, sans-serif"
WIDTH, LEFT, RIGHT = 860, 64, 190
PANEL, GAP, TOP = 120, 34, 56
BLUE, GREEN, AMBER, PINK, GREY, INK = "#0284c7", "#16a34a", "#f59e0b", "#db2777", "#94a3b8", "#0f172a"
BUCKET_S: Final = 1.0
Points = Sequence[tuple[float, float]]
Line = tuple[str, str, Points, bool]
"""Name, colour, points in seconds and values, and whether a value holds until the next point."""


def picture(run: ScaleRun) -> str:
    """Render a run as SVG."""
    samples = run.samples
    panels: list[tuple[str, list[Line]]] = [
        ("submitted jobs per second", [("submitted", BLUE, _rates(run), False)]),
        (
            "jobs",
            [
                ("waiting", PINK, [(one.at_s, one.waiting) for one in samples], False),
                ("running", GREEN, [(one.at_s, one.running) for one in samples], False),
            ],
        ),
        (
            "workers",
            [
                ("desired_workers", AMBER, [(one.at_s, one.wanted) for one in samples], True),
                ("running", BLUE, [(one.at_s, one.workers) for one in samples], True),
            ],
        ),
        ("wait in seconds", [("longest in a second", PINK, _waits(run), False)]),
    ]
    end_s = max(samples[-1].at_s, run.plan.total_s)
    height = TOP + len(panels) * (PANEL + GAP) + 10
    title = f"{run.submitted:,} jobs of {run.plan.job_s:g} s, {run.plan.concurrency} at once in a worker"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="{FONT}" font-size="13">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="30" font-size="18" font-weight="bold" fill="{INK}">{escape(title)}</text>',
    ]
    for number, (name, lines) in enumerate(panels):
        parts += _panel(name, lines, TOP + number * (PANEL + GAP), end_s)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _rates(run: ScaleRun) -> Points:
    """What was accepted in each second."""
    counts: dict[int, int] = {}
    for job in run.jobs:
        counts[int(job.at_s // BUCKET_S)] = counts.get(int(job.at_s // BUCKET_S), 0) + 1
    return [(at + BUCKET_S / 2, counts.get(at, 0) / BUCKET_S) for at in range(max(counts, default=0) + 1)]


def _waits(run: ScaleRun) -> Points:
    longest: dict[int, float] = {}
    for job in run.jobs:
        at = int(job.at_s // BUCKET_S)
        longest[at] = max(longest.get(at, 0.0), job.wait_s)
    return [(at + BUCKET_S / 2, wait_s) for at, wait_s in sorted(longest.items())]


def _panel(name: str, lines: Sequence[Line], top: float, end_s: float) -> list[str]:
    """Draw lines on a common scale, with their names beside them."""
    most = _round_up(max((value for _, _, points, _ in lines for _, value in points), default=1.0))
    bottom = top + PANEL

    def x(at_s: float) -> float:
        return LEFT + at_s / end_s * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return bottom - value / most * PANEL

    parts = [f'<text x="{LEFT}" y="{top - 6}" fill="#475569">{escape(name)}</text>']
    for part in (0.0, 0.5, 1.0):
        parts.append(f'<path d="M{LEFT} {y(most * part):.1f}H{WIDTH - RIGHT}" stroke="#e2e8f0"/>')
        parts.append(
            f'<text x="{LEFT - 8}" y="{y(most * part) + 4:.1f}" text-anchor="end" fill="#475569">{most * part:g}</text>'
        )
    parts += [
        f'<text x="{x(at_s):.1f}" y="{bottom + 16:.1f}" text-anchor="middle" fill="{GREY}" font-size="11">{at_s} s'
        "</text>"
        for at_s in range(0, int(end_s) + 1, 10)
    ]
    for number, (label, colour, points, steps) in enumerate(lines):
        parts.append(f'<path d="{_path(points, x, y, steps)}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(
            f'<text x="{WIDTH - RIGHT + 14}" y="{top + 14 + number * 20}" fill="{colour}">{escape(label)}</text>'
        )
    return parts


def _path(points: Points, x: Callable[[float], float], y: Callable[[float], float], steps: bool) -> str:
    words: list[str] = []
    for at_s, value in points:
        if not words:
            words.append(f"M{x(at_s):.1f} {y(value):.1f}")
        else:
            words.append(f"H{x(at_s):.1f}V{y(value):.1f}" if steps else f"L{x(at_s):.1f} {y(value):.1f}")
    return "".join(words)


def _round_up(value: float) -> float:
    """Round up to the next readable number, at least 1."""
    unit = 1.0
    while value > unit * 10:
        unit *= 10
    return next(unit * step for step in (1, 2, 4, 6, 8, 10) if unit * step >= value)
