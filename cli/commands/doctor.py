"""``finops doctor``: check an installation, with a remedy for each problem."""

from pathlib import Path

import click

from cli import options
from cli.examples import examples


@click.command(
    name="doctor",
    epilog=examples("finops doctor", "finops doctor --config finops.toml --json", "finops doctor --wait 60"),
)
@options.config_option
@options.redis_url_option
@options.data_dir_option
@click.option("--url", envvar="FINOPS_URL", help="URL of the running gateway (FINOPS_URL); default: as configured.")
@click.option(
    "--wait",
    "wait_s",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="Wait so long for the gateway to be ready; one that is not ready then is a FAIL.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(
    *,
    config: Path | None,
    redis_url: str | None,
    data_dir: Path,
    url: str | None,
    wait_s: float | None,
    as_json: bool,
) -> None:
    """Check configuration, gateway, store and providers, with a remedy for each problem; exit with 1 on a FAIL."""
    from cli.checks.examination import examine
    from cli.views.output import echo_json, out, table

    findings = examine(config, redis_url, data_dir, url, wait_s=wait_s)
    if as_json:
        echo_json([finding.to_dict() for finding in findings])
    else:
        rows = [(finding.check, finding.level, finding.message, finding.fix) for finding in findings]
        out().print(table(("check", "", "found", "what to do"), rows))
    if any(finding.level == "FAIL" for finding in findings):
        raise click.exceptions.Exit(1)
