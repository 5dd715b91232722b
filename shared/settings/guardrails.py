"""The shape of ``[guardrails.<name>]``: endpoints that are asked about requests and answers."""

import re
from collections.abc import Collection
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator

from shared.settings.section import Section

MAX_GUARDRAILS = 16
# To read and write so much holds the event loop for some 30 ms.
MAX_KB = 8192
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
GuardrailName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_\-]{0,39}$")]
GuardrailPattern = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]


class GuardrailSettings(Section):
    """An endpoint of one's own that allows, denies or replaces requests and answers.

    Attributes:
        url: where it is asked, by POST; http:// and private addresses are allowed, as for providers
        checks: `request`: before a call; `answer`: after it, before the caller sees the answer
        virtual_keys: patterns of names or ids of the virtual keys that it checks; `*`: all, and calls without one
        models: patterns of `provider/model` that it checks, also where they are fallbacks or targets of a route
        timeout_s: how long it may take
        on_error: when it does not answer as it should: `deny` refuses the call, `allow` lets it pass
        streams: for one that checks answers: `refuse` streams, or let them pass `unchecked`
        headers: headers of each request to it, such as its credentials
        max_kb: largest request to it and reply of it; a larger one counts as an error
    """

    url: Annotated[str, Field(max_length=2000)]
    checks: Annotated[tuple[Literal["request", "answer"], ...], Field(min_length=1, max_length=2)] = ("request",)
    virtual_keys: Annotated[tuple[GuardrailPattern, ...], Field(min_length=1, max_length=200)] = ("*",)
    models: Annotated[tuple[GuardrailPattern, ...], Field(min_length=1, max_length=200)] = ("*",)
    timeout_s: Annotated[float, Field(gt=0, le=60)] = 5
    on_error: Literal["deny", "allow"] = "deny"
    streams: Literal["refuse", "unchecked"] = "refuse"
    headers: Annotated[dict[str, SecretStr], Field(max_length=20)] = {}
    max_kb: Annotated[int, Field(ge=1, le=MAX_KB)] = 4096

    @field_validator("url")
    @classmethod
    def _http_only(cls, value: str) -> str:
        if not value.startswith(("http://", "https://")):
            raise ValueError("must start with http:// or https://")
        parts = urlsplit(value)
        if not parts.hostname or not value.isascii() or not value.isprintable() or " " in value or parts.port == 0:
            raise ValueError("must be a URL such as http://guard.internal:8000/check")
        if parts.username is not None or parts.password is not None:
            raise ValueError("must not hold credentials; send them as headers")
        return value

    @field_validator("headers")
    @classmethod
    def _sendable(cls, value: dict[str, SecretStr]) -> dict[str, SecretStr]:
        for name, secret in value.items():
            if not _HEADER.fullmatch(name):
                raise ValueError(f"{name!r} is not the name of a header")
            text = secret.get_secret_value()
            if not (text.isascii() and text.isprintable()):
                raise ValueError(f"the value of {name!r} must be printable ASCII")
        return value


def check_answers(guardrails: Collection[GuardrailSettings]) -> bool:
    """Tell whether any guardrail checks answers."""
    return any("answer" in guardrail.checks for guardrail in guardrails)
