"""`GET /api/prices`: pages, filters and refusals."""

from tests.api.conftest import ADMIN_KEY, Start

ADMIN = {"authorization": f"Bearer {ADMIN_KEY}"}


async def test_prices_are_read_in_pages_by_administrators(start: Start) -> None:
    gateway = await start(prices={"sim/*": {"input": 1, "output": 2}})
    document = (await gateway.http.get("/api/prices?limit=3&provider=openai&model=gpt-4o", headers=ADMIN)).json()
    assert (document["object"], len(document["data"]), document["has_more"]) == ("list", 3, True)
    assert all("gpt-4o" in each["model"] and each["source"] == "published" for each in document["data"])
    url = f"/api/prices?limit=100&provider=openai&model=gpt-4o&after={document['last_id']}"
    rest = (await gateway.http.get(url, headers=ADMIN)).json()
    assert rest["has_more"] is False
    assert not {each["id"] for each in rest["data"]} & {each["id"] for each in document["data"]}
    own = (await gateway.http.get("/api/prices?provider=sim", headers=ADMIN)).json()["data"]
    assert [(each["id"], each["source"], each["prices"]) for each in own] == [
        ("sim/*", "configuration", {"input": 1, "output": 2})
    ]
    for query in ("after=x", "limit=0", "provider=nobody", "colour=red"):
        refused = await gateway.http.get(f"/api/prices?{query}", headers=ADMIN)
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, query.partition("=")[0])
    assert (await gateway.http.get("/api/prices")).status_code == 401
    described = (await gateway.http.get("/openapi.json")).json()["paths"]["/api/prices"]["get"]
    assert {each["name"] for each in described["parameters"]} >= {"provider", "model", "after", "limit"}
