"""An outage of the store is one line, then one every 30 s, then one for its end."""

import logging

import pytest

from worker.outage import REMIND_S, OutageLog


def test_an_outage_is_logged_once_and_again_after_half_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    outage = OutageLog(lambda: now[0])
    outage.back()
    for second in range(int(REMIND_S) + 2):
        now[0] = float(second)
        outage.away(OSError("connection refused"))
    outage.back()
    outage.back()
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == [
        "the store is away; nothing is lost, work goes on once it is back",
        "the store is still away, for 30 s",
        "the store is back after 31 s",
    ]
    assert vars(caplog.records[0])["reason"] == "connection refused"


def test_the_next_outage_is_a_new_one(caplog: pytest.LogCaptureFixture) -> None:
    outage = OutageLog(lambda: 5.0)
    outage.away(OSError())
    outage.back()
    outage.away(OSError())
    assert [record.getMessage()[:17] for record in caplog.records] == [
        "the store is away",
        "the store is back",
        "the store is away",
    ]
    assert vars(caplog.records[0])["reason"] == "OSError"
