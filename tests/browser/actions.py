"""What people can do on each page of the console, and the test that does it by mouse and by keyboard.

``tests/api/console/test_pages.py`` holds the table against the pages and the tests.
"""

from collections.abc import Mapping

ACTIONS: Mapping[str, Mapping[str, str]] = {
    "main": {
        "sign in": "test_signing_in_and_out",
        "sign out": "test_signing_in_and_out",
        "Menu": "test_signing_in_and_out",
        "switch the theme": "test_the_theme_changes_and_stays",
        "open a page": "test_lists_are_filtered_and_read_on",
        "Skip to content": "test_lists_are_filtered_and_read_on",
    },
    "overview": {
        "All failed jobs": "test_lists_are_filtered_and_read_on",
        "Details": "test_lists_are_filtered_and_read_on",
        "a chart as a table": "test_views_of_spend_and_calls",
    },
    "jobs": {
        "filter": "test_lists_are_filtered_and_read_on",
        "More filters": "test_lists_are_filtered_and_read_on",
        "Clear": "test_lists_are_filtered_and_read_on",
        "Submit a job": "test_lists_are_filtered_and_read_on",
        "open a job": "test_failed_jobs_are_selected_and_retried",
        "select": "test_failed_jobs_are_selected_and_retried",
        "Clear selection": "test_failed_jobs_are_selected_and_retried",
        "cancel those selected": "test_selected_jobs_are_cancelled",
        "retry those selected": "test_failed_jobs_are_selected_and_retried",
        "Act on all that match": "test_all_jobs_that_match_are_counted_priced_and_cancelled",
        "cancel all": "test_all_jobs_that_match_are_counted_priced_and_cancelled",
        "change the priority of all": "test_all_jobs_that_match_are_moved_retried_and_deleted",
        "retry all": "test_all_jobs_that_match_are_moved_retried_and_deleted",
        "delete all": "test_all_jobs_that_match_are_moved_retried_and_deleted",
        "Stop": "test_a_bulk_operation_is_stopped",
        "Dismiss": "test_all_jobs_that_match_are_counted_priced_and_cancelled",
    },
    "job": {
        "Cancel job": "test_a_job_is_submitted_cancelled_and_retried_with_changes",
        "Retry": "test_a_job_is_submitted_cancelled_and_retried_with_changes",
        "Send again": "test_an_event_is_sent_again_from_its_job",
        "the result as JSON": "test_an_event_is_sent_again_from_its_job",
        "the poll in another language": "test_an_event_is_sent_again_from_its_job",
        "copy the id, the result and the code": "test_what_is_copied_is_what_is_shown",
    },
    "queue": {
        "Pause jobs": "test_a_part_of_the_queue_is_paused_and_resumed",
        "Pause": "test_a_part_of_the_queue_is_paused_and_resumed",
        "Resume": "test_a_part_of_the_queue_is_paused_and_resumed",
        "Retry": "test_a_dead_letter_is_retried",
    },
    "schedules": {
        "Create schedule": "test_schedules",
        "pause": "test_schedules",
        "resume": "test_schedules",
        "Delete": "test_schedules",
    },
    "batches": {"Cancel": "test_a_batch_is_cancelled"},
    "spend": {
        "choose a range": "test_views_of_spend_and_calls",
        "group": "test_views_of_spend_and_calls",
        "the chart as a table": "test_views_of_spend_and_calls",
        "Export CSV": "test_views_of_spend_and_calls",
    },
    "limits": {},
    "runs": {},
    "keys": {
        "Create key": "test_keys",
        "Rotate": "test_keys",
        "Rotate key": "test_keys",
        "Revoke": "test_keys",
        "copy the value": "test_what_is_copied_is_what_is_shown",
    },
    "calls": {
        "open a call": "test_views_of_spend_and_calls",
        "Load more": "test_lists_are_filtered_and_read_on",
    },
    "providers": {},
    "cache": {
        "choose a range": "test_lists_are_filtered_and_read_on",
        "Purge answers": "test_stored_answers_are_purged",
    },
    "alerts": {"mute": "test_a_rule_is_muted_and_unmuted", "unmute": "test_a_rule_is_muted_and_unmuted"},
    "webhooks": {
        "open a delivery": "test_an_event_is_sent_again",
        "Send again": "test_an_event_is_sent_again",
        "Signing secret": "test_an_event_is_sent_again",
        "copy the secret": "test_what_is_copied_is_what_is_shown",
    },
    "try_it": {
        "Send": "test_every_api_format_answers_and_shows_its_code",
        "Stop": "test_a_stream_is_stopped",
        "choose how to run it": "test_a_stream_is_stopped",
        "as a job": "test_a_job_is_submitted_cancelled_and_retried_with_changes",
        "copy the code": "test_what_is_copied_is_what_is_shown",
    },
    "audit": {"filter": "test_lists_are_filtered_and_read_on"},
    "system": {},
    "own_spend": {},
    "bulk": {"Stop": "test_a_bulk_operation_is_stopped", "Dismiss": "test_a_bulk_operation_is_stopped"},
    "filters": {
        "More filters": "test_lists_are_filtered_and_read_on",
        "Clear": "test_lists_are_filtered_and_read_on",
    },
    "parts": {"Try again": "test_trying_again_after_an_outage"},
    "sign_in": {"Sign in": "test_signing_in_and_out"},
    "table": {"Load more": "test_lists_are_filtered_and_read_on"},
}
"""Module of a page or a part of pages to its actions: the label of the button, or what it does."""
