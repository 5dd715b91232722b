import sys
from datetime import UTC, datetime

import pytest

from shared.errors import UpstreamRefused
from shared.providers.hosts.aws import AwsIdentity
from shared.providers.hosts.bedrock import BedrockHost
from shared.providers.wires.base import UpstreamRequest
from tests.providers.hosts.request_cases import KEY, REQUEST, provider_of

EU = {"region": "eu-west-1"}


async def destination_of(environ, key=None, **settings):
    identity = AwsIdentity(environ)
    host = BedrockHost(identity)
    try:
        return await host.destination(provider_of("bedrock", **{**EU, **settings}), key, "m:0", REQUEST)
    finally:
        await identity.aclose()


async def test_a_region_has_its_address_and_a_key_is_a_bearer_token():
    place = await destination_of({}, KEY)
    assert place.origin.authority == b"bedrock-runtime.eu-west-1.amazonaws.com"
    assert place.target == b"/model/m%3A0/converse"
    assert dict(place.headers) == {"authorization": "Bearer sk-secret"}
    assert (await destination_of({}, KEY, region="cn-north-1")).origin.host.endswith(".amazonaws.com.cn")
    catalogue = UpstreamRequest(path="/foundation-models?byProvider=x", body=b"", method="GET")
    place = await BedrockHost(AwsIdentity({})).destination(provider_of("bedrock", **EU), KEY, "", catalogue)
    assert place.origin.authority == b"bedrock.eu-west-1.amazonaws.com"
    mine = await destination_of({}, KEY, base_url="http://127.0.0.1:9001/aws")
    assert (mine.origin.authority, mine.target) == (b"127.0.0.1:9001", b"/aws/model/m%3A0/converse")


async def test_requests_are_signed_with_the_environments_credentials():
    environ = {"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "hush", "AWS_SESSION_TOKEN": "t"}
    before = datetime.now(UTC).strftime("%Y%m%d")
    headers = dict((await destination_of(environ)).headers)
    assert headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKID/")
    assert "/eu-west-1/bedrock/aws4_request" in headers["authorization"]
    assert headers["x-amz-date"][:8] in {before, datetime.now(UTC).strftime("%Y%m%d")}
    assert headers["x-amz-security-token"] == "t"
    assert "hush" not in str(headers)


async def test_the_configurations_credentials_come_first():
    environ = {"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "hush"}
    temporary = dict((await destination_of(environ, credentials="MINE:secret:tok:en")).headers)
    assert "Credential=MINE/" in temporary["authorization"]
    assert temporary["x-amz-security-token"] == "tok:en"
    assert "x-amz-security-token" not in dict((await destination_of(environ, credentials="MINE:secret")).headers)
    with pytest.raises(UpstreamRefused, match="access key id"):
        await destination_of(environ, credentials="MINE")


async def test_botocore_finds_other_credentials_and_is_asked_once(tmp_path, monkeypatch):
    profile = tmp_path / "credentials"
    profile.write_text("[default]\naws_access_key_id = FILE\naws_secret_access_key = hush\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(profile))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    identity = AwsIdentity({})
    found = [await identity.credentials(provider_of("bedrock", **EU)) for _ in range(2)]
    assert found[0].access_key == "FILE"
    assert found[0] is found[1]
    assert identity._search() == found[0]


@pytest.mark.parametrize("installed", [True, False])
async def test_missing_credentials_are_reported_with_a_remedy(installed, tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    if not installed:
        monkeypatch.setitem(sys.modules, "botocore.session", None)
    with pytest.raises(UpstreamRefused, match="AWS_BEARER_TOKEN_BEDROCK") as caught:
        await destination_of({"AWS_ACCESS_KEY_ID": "half"})
    assert caught.value.status == 401
