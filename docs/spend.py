"""Draw a month's spend by team.

``python docs/spend.py`` writes docs/spend.svg from simulated calls; a test checks it.

``python docs/spend.py usage.json picture.svg`` draws the output of ``finops usage --by team --json``.
"""

import json
import random
import sys
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from shared.governance.limits.model import MICRO
from shared.governance.pricing.prices import PriceBook
from shared.governance.pricing.usage import Usage
from shared.settings.prices import PriceSettings

PICTURE = Path(__file__).parent / "spend.svg"
COLOURS = ("#0284c7", "#16a34a", "#f59e0b", "#db2777", "#7c3aed", "#94a3b8")
FONT = "Helvetica, Arial, sans-serif"
WIDTH, HEIGHT = 860, 360
LEFT, RIGHT, TOP, BOTTOM = 60, 190, 62, 40
# Calls on a working day, tokens in and out of each, the model; simulated providers, prices per million tokens.
TEAMS: Mapping[str, tuple[int, int, int, str]] = {
    "support": (9_000, 2_400, 300, "sim/small"),
    "search": (2_600, 6_000, 700, "sim/large"),
    "coding": (1_100, 14_000, 1_800, "sim/large"),
    "marketing": (700, 3_000, 2_400, "sim/large"),
    "research": (160, 60_000, 4_000, "sim/large"),
}
PRICES = {
    "sim/small": PriceSettings(input=0.4, output=1.6, cached=0.1),
    "sim/large": PriceSettings(input=2.5, output=10, cached=1.25),
}
DAYS = 30
WEEKEND = {1, 7, 8, 14, 15, 21, 22, 28, 29}  # of November 2026


def simulated_usage() -> dict[str, Any]:
    """Return a month of simulated calls with the gateway's prices, in the shape of ``/api/usage``."""
    chance, prices = random.Random(20261101), PriceBook(PRICES)  # noqa: S311 - the same picture each time
    rows = []
    for day in range(1, DAYS + 1):
        for team, (calls, tokens_in, tokens_out, model) in TEAMS.items():
            made = round(calls * (0.25 if day in WEEKEND else 1) * chance.uniform(0.8, 1.2) * (1 + day / 90))
            if team == "research" and day in {18, 19}:
                made *= 5  # an evaluation that nobody announced
            tokens = Usage(input=made * tokens_in, output=made * tokens_out, cached=made * tokens_in // 3)
            cost = prices.cost(*model.split("/"), tokens).micro_usd / MICRO
            rows.append({"period": f"2026-11-{day:02}", "team": team, "calls": made, "cost_usd": cost})
    return {"data": rows}


def picture(usage: Mapping[str, Any]) -> str:
    """Render an SVG with a stacked column per day and a legend of the teams' sums."""
    rows: Sequence[Mapping[str, Any]] = usage["data"]
    days = sorted({row["period"] for row in rows})
    sums: dict[str, float] = {}
    for row in rows:
        sums[row["team"]] = sums.get(row["team"], 0.0) + row["cost_usd"]
    teams = sorted(sums, key=lambda team: -sums[team])
    costs = {(row["period"], row["team"]): row["cost_usd"] for row in rows}
    top = _round_up(max(sum(costs.get((day, team), 0.0) for team in teams) for day in days))
    title = f"{escape(days[0])} to {escape(days[-1])}: ${sum(sums.values()):,.0f}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="{FONT}" font-size="13">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="32" font-size="18" font-weight="bold" fill="#0f172a">{title}</text>',
        *_scale(top),
        *_columns(days, teams, costs, top),
        *_legend(teams, sums),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _scale(top: float) -> list[str]:
    lines = []
    for step in range(5):
        y = HEIGHT - BOTTOM - step / 4 * (HEIGHT - TOP - BOTTOM)
        lines.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#e2e8f0"/>')
        lines.append(
            f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end" fill="#475569">${top * step / 4:,.0f}</text>'
        )
    return lines


def _columns(
    days: Sequence[str], teams: Sequence[str], costs: Mapping[tuple[str, str], float], top: float
) -> list[str]:
    parts, step = [], (WIDTH - LEFT - RIGHT) / len(days)
    for number, day in enumerate(days):
        x, y = LEFT + number * step, float(HEIGHT - BOTTOM)
        for at, team in enumerate(teams):
            height = costs.get((day, team), 0.0) / top * (HEIGHT - TOP - BOTTOM)
            y -= height
            colour = COLOURS[min(at, len(COLOURS) - 1)]
            place = f'x="{x + step * 0.1:.1f}" y="{y:.1f}" width="{step * 0.8:.1f}" height="{height:.1f}"'
            parts.append(f'<rect {place} fill="{colour}"/>')
        if number % 5 == 0:
            parts.append(
                f'<text x="{x + step / 2:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle" fill="#475569">'
                f"{escape(day[5:])}</text>"
            )
    return parts


def _legend(teams: Sequence[str], sums: Mapping[str, float]) -> list[str]:
    parts, x = [], WIDTH - RIGHT + 18
    for at, team in enumerate(teams):
        y = TOP + 10 + at * 24
        parts.append(
            f'<rect x="{x}" y="{y - 11}" width="12" height="12" rx="2" fill="{COLOURS[min(at, len(COLOURS) - 1)]}"/>'
        )
        parts.append(f'<text x="{x + 20}" y="{y}" fill="#0f172a">{escape(team or "(none)")}</text>')
        parts.append(f'<text x="{WIDTH - 16}" y="{y}" text-anchor="end" fill="#475569">${sums[team]:,.0f}</text>')
    return parts


def _round_up(amount: float) -> float:
    """Round up to an amount with a readable scale."""
    unit = 10 ** (len(str(int(amount))) - 1)
    return next(unit * step for step in (1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8, 10) if unit * step >= amount)


def main(arguments: Sequence[str]) -> int:
    """Write the picture."""
    usage = json.loads(Path(arguments[0]).read_text(encoding="utf-8")) if arguments else simulated_usage()
    (Path(arguments[1]) if len(arguments) > 1 else PICTURE).write_text(picture(usage), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
