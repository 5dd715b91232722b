"""Signatures against botocore's own."""

from datetime import UTC, datetime
from urllib.parse import quote

import botocore.auth
import botocore.awsrequest
import botocore.credentials
from hypothesis import given
from hypothesis import strategies as st

from shared.providers.hosts.sigv4 import AwsCredentials, signed_headers

NOW = datetime(2026, 11, 22, 9, 5, 3, tzinfo=UTC)


class FrozenAuth(botocore.auth.SigV4Auth):
    """botocore's signature, at our time."""

    def add_auth(self, request):
        request.context["timestamp"] = NOW.strftime("%Y%m%dT%H%M%SZ")
        self._modify_request_before_signing(request)
        canonical = self.canonical_request(request)
        self._inject_signature_to_request(request, self.signature(self.string_to_sign(request, canonical), request))


@given(
    model=st.text(st.characters(codec="utf-8"), min_size=1, max_size=30).filter(lambda name: name not in {".", ".."}),
    query=st.sampled_from(["", "b=2&a=1", "a=%20x"]),
    body=st.binary(max_size=100),
    token=st.sampled_from(["", "IQoJb3JpZ2luX2VjE//=="]),
    origin=st.sampled_from(["https://bedrock-runtime.eu-west-1.amazonaws.com", "http://127.0.0.1:9001"]),
)
def test_a_signature_is_the_one_that_botocore_makes(model, query, body, token, origin):
    target = f"/model/{quote(model, safe='')}/converse" + (f"?{query}" if query else "")
    request = botocore.awsrequest.AWSRequest("POST", origin + target, data=body)
    keys = botocore.credentials.Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG", token or None)
    FrozenAuth(keys, "bedrock", "eu-west-1").add_auth(request)
    ours = signed_headers(
        "POST",
        origin.split("://")[1],
        target,
        body,
        credentials=AwsCredentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG", token),
        region="eu-west-1",
        service="bedrock",
        now=NOW,
    )
    assert ours == {name.lower(): value for name, value in request.headers.items()}


def test_credentials_do_not_show_their_secrets():
    assert "secret" not in repr(AwsCredentials("AKID", "secret", "secret"))
