"""`make fuzz`: tries the properties of the two HTTP parsers with new examples until the time is over.

A failure is shown with the smallest bytes that cause it: store them in ``corpus/``, with the outcome in the name.
"""

import logging
import sys
import time

from hypothesis import HealthCheck, given, settings

from tests.security.mutations import CUTS
from tests.security.test_fuzz_protocol import REQUESTS, check_requests
from tests.security.test_fuzz_upstream import ANSWERS, check_answers

ROUND = 2000


def fuzz(minutes: float) -> int:
    """Try the properties for so long; return how many examples there were."""
    until, tried = time.monotonic() + minutes * 60, 0
    lasting = settings(max_examples=ROUND, deadline=None, derandomize=False, suppress_health_check=list(HealthCheck))
    while time.monotonic() < until:
        for messages, check in ((REQUESTS, check_requests), (ANSWERS, check_answers)):
            lasting(given(messages, CUTS)(check))()
            tried += ROUND
    return tried


if __name__ == "__main__":
    logging.disable()  # refusals are logged
    print(f"{fuzz(float(sys.argv[1]))} examples, no failure")
