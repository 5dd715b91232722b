import pytest

from shared.providers.hosts.direct import DIRECT_HOSTS
from tests.providers.hosts.request_cases import KEY, REQUEST, provider_of


@pytest.mark.parametrize("host", DIRECT_HOSTS, ids=lambda host: host.name)
async def test_a_key_goes_where_its_provider_looks_for_it(host):
    provider = provider_of(host.name, base_url="https://h/v1")
    place = await host.destination(provider, KEY, "m", REQUEST)
    assert place.target == b"/v1/model/m%3A0/converse"
    assert dict(place.headers) == {"direct": {"authorization": "Bearer sk-secret"}}.get(
        host.name, {host.name: "sk-secret"}
    )
    assert (await host.destination(provider, None, "m", REQUEST)).headers == ()
