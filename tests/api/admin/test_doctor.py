"""``GET /api/doctor``: the findings of `finops doctor` about a running gateway."""

from typing import Any

from api.admin.doctor import examine
from tests.api.admin.administering import ADMIN, make
from tests.api.conftest import ADMIN_KEY, Gateway


async def findings(gateway: Gateway) -> Any:
    gateway.services.shared_answers.forget()
    answer = await gateway.http.get("/api/doctor", headers=ADMIN)
    assert answer.status_code == 200, answer.text
    assert ADMIN_KEY not in answer.text
    return answer.json()["data"]


async def test_problems_come_first_each_with_a_remedy(gateway: Gateway) -> None:
    await make(gateway, name="loose")
    found = await findings(gateway)
    levels = [finding["level"] for finding in found]
    assert levels == sorted(levels, key=("FAIL", "WARN", "OK").index)
    assert all(bool(finding["fix"]) == (finding["level"] != "OK") for finding in found)
    assert "without any limit: loose" in {finding["message"] for finding in found}
    assert {"admin key", "address", "store", "virtual keys", "alerts"} <= {finding["check"] for finding in found}


async def test_the_admin_key_is_checked_where_it_is_configured(gateway: Gateway) -> None:
    settings = gateway.services.settings
    people = settings.model_copy(update={"auth": settings.auth.model_copy(update={"admin_key": None})})
    assert "admin key" not in {finding["check"] for finding in (await examine(people))["data"]}


async def test_only_administrators_ask(gateway: Gateway) -> None:
    assert (await gateway.http.get("/api/doctor")).status_code == 401
