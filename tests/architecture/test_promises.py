"""What is promised about money, sentence by sentence, and the tests that show it.

The table is here, where each landing runs it: a test that is renamed keeps its place in it.
"""

import re
from pathlib import Path

TESTS = Path(__file__).parent.parent
HERE = "api/test_money_promises.py"
HELD, RUNS, EACH = "inference/test_budgets_hold.py", "api/test_runs.py", "api/test_each.py"
BATCHES, RESCUE, RAISES = "api/files/test_provider_batches.py", "api/files/test_rescue.py", "api/admin/test_raises.py"
PARKED, KEYS, PRICED = "api/jobs/test_parking.py", "api/admin/test_required_keys.py", "cli/test_prices.py"
PROMISES: dict[str, tuple[str, ...]] = {
    "A provider's batch is reserved line by line at its creation, priced at batch rates and booked per line.": (
        f"{BATCHES}::test_a_batch_is_reserved_at_its_creation_and_booked_line_by_line",
    ),
    "What does not fit is 402, and nothing is sent.": (
        f"{BATCHES}::test_what_does_not_fit_is_refused_and_not_sent",
        f"{HERE}::test_a_runs_cap_binds_a_providers_batch",
    ),
    "What a batch did not use is given back.": (f"{BATCHES}::test_a_cancelled_batch_gives_its_reservation_back",),
    "The lines of a provider's batch are booked within 60 s of its end.": (
        f"{HERE}::test_a_batch_is_looked_at_often_enough_to_be_booked_within_a_minute",
    ),
    "x-bf-provider passes no limit.": (f"{HERE}::test_naming_the_provider_passes_no_limit",),
    "What has no price is 402 price_unknown under a budget, and its message says how to price it.": (
        f"{HELD}::test_every_forwarded_request_that_makes_something_needs_a_price_under_a_budget",
        f"{HERE}::test_every_surface_refuses_what_has_no_price",
    ),
    'unpriced = "allow" lets it pass.': (f"{HELD}::test_unpriced_calls_are_let_pass_where_that_is_configured",),
    "Each line of a rescued batch has one result and one charge; meanwhile the batch is finalizing.": (
        f"{RESCUE}::test_lines_that_expire_at_the_provider_are_run_here",
        f"{RESCUE}::test_a_late_duplicate_is_discarded_and_booked_as_one",
    ),
    "A run's budget caps calls, streams, jobs and batches over any number of processes.": (
        f"{RUNS}::test_64_agents_on_4_processes_never_pass_their_runs_budget",
        f"{RUNS}::test_a_run_counts_what_every_surface_spends_and_refuses_past_its_budget",
        f"{RUNS}::test_lines_of_a_batch_are_jobs_of_its_run",
        f"{HERE}::test_a_runs_cap_binds_what_is_forwarded",
    ),
    "The first request sets the cap; later ones may lower it.": (
        f"{RUNS}::test_the_first_budget_holds_and_later_ones_may_only_lower_it",
    ),
    "An unusable cap or id of a run is a 400.": (
        f"{RUNS}::test_an_unusable_budget_is_refused",
        f"{RUNS}::test_an_unusable_id_is_refused",
    ),
    "metadata.run_id names a run where headers cannot.": (
        f"{RUNS}::test_the_metadata_names_a_run_where_headers_cannot",
    ),
    "A run belongs to its key's team, else to its key.": (
        f"{RUNS}::test_a_run_belongs_to_its_keys_team_else_to_its_key",
    ),
    "Each value of a dimension, and each end user, has limits of its own.": (
        f"{EACH}::test_every_customer_has_a_budget_of_its_own",
        f"{EACH}::test_every_end_user_has_a_limit_of_its_own",
    ),
    "A header against a dimension that the key fixes is a 400 dimension_fixed.": (
        f"{EACH}::test_a_header_cannot_override_a_dimension_that_the_key_fixes",
        f"{HERE}::test_every_surface_keeps_the_dimensions_that_a_key_fixes",
    ),
    "A job that meets a spent window waits for the next one, if its deadline allows.": (
        f"{PARKED}::test_a_job_waits_for_the_next_window_and_then_runs",
        f"{PARKED}::test_a_deadline_before_the_next_window_is_refused_at_submit",
    ),
    "A raise takes the limit's id, is audited, and is over by itself.": (
        f"{RAISES}::test_a_raised_budget_lets_calls_pass_and_is_audited",
        f"{RAISES}::test_a_raise_is_over_by_itself",
    ),
    "auto: keys are required as soon as one exists; revoking the last one opens nothing.": (
        f"{KEYS}::test_the_first_key_closes_the_gateway_and_its_revocation_opens_nothing",
    ),
    "finops prices list, show, check and update.": (
        f"{PRICED}::test_prices_are_listed_with_their_sources",
        f"{PRICED}::test_one_price_is_explained",
        f"{PRICED}::test_what_a_budget_would_refuse_is_named",
        f"{PRICED}::test_an_update_shows_what_it_would_change",
    ),
    "A 402 and a 429 name the limit, what is left and when it turns.": (
        f"{HERE}::test_every_surface_names_the_limit_that_binds",
    ),
    "What batch, tier and cache save is in usage and FOCUS.": (
        f"{HERE}::test_savings_by_tier_and_prompt_cache_are_in_usage_and_focus",
        f"{HERE}::test_savings_by_a_providers_batch_are_in_usage_and_focus",
    ),
    "A caller who leaves is charged what the provider counted.": (
        "api/test_hang_ups_are_booked.py::test_what_the_provider_reports_is_booked",
        "api/test_abandoned_answers.py::test_the_answer_is_read_and_booked_at_what_it_cost",
    ),
}


def test_every_promise_has_its_tests() -> None:
    named = {tuple(name.split("::")) for tests in PROMISES.values() for name in tests}
    texts = {path: (TESTS / path).read_text(encoding="utf-8") for path, _ in named}
    missing = [name for name in named if not re.search(rf"^(async )?def {name[1]}\(", texts[name[0]], re.MULTILINE)]
    assert missing == []
