"""AWS Signature Version 4 of one request.

Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import quote

ALGORITHM = "AWS4-HMAC-SHA256"


@dataclass(frozen=True, slots=True)
class AwsCredentials:
    """AWS credentials; ``token`` only where they are temporary."""

    access_key: str
    secret_key: str = field(repr=False)
    token: str = field(default="", repr=False)


def signed_headers(
    method: str,
    host: str,
    target: str,
    body: bytes,
    *,
    credentials: AwsCredentials,
    region: str,
    service: str,
    now: datetime,
) -> Mapping[str, str]:
    """Return the headers that sign a request; ``host`` must be sent as given.

    Args:
        target: Path and query as sent. The path is encoded once more for the signature, as every service but S3 wants.
    """
    stamp = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    headers = {"host": host, "x-amz-date": stamp}
    if credentials.token:
        headers["x-amz-security-token"] = credentials.token
    path, _, query = target.partition("?")
    names = ";".join(sorted(headers))
    lines = [method, quote(path, safe="/~"), "&".join(sorted(query.split("&")))]
    lines += [f"{name}:{headers[name]}" for name in sorted(headers)]
    lines += ["", names, hashlib.sha256(body).hexdigest()]
    scope = f"{stamp[:8]}/{region}/{service}/aws4_request"
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    key = f"AWS4{credentials.secret_key}".encode()
    for part in scope.split("/"):
        key = _keyed(key, part)
    signature = _keyed(key, f"{ALGORITHM}\n{stamp}\n{scope}\n{digest}").hex()
    proof = f"{ALGORITHM} Credential={credentials.access_key}/{scope}, SignedHeaders={names}, Signature={signature}"
    return {name: value for name, value in headers.items() if name != "host"} | {"authorization": proof}


def _keyed(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()
