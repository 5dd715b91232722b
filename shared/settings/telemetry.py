"""The shape of ``[log]`` and ``[telemetry]``: what processes tell of themselves, and where to."""

import re
from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator

from shared.settings.section import Section


class LogSettings(Section):
    """Logging of both tiers to standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "text"] = "json"
    requests: bool = True
    content: bool = False
    redact: tuple[str, ...] = ()

    @field_validator("redact")
    @classmethod
    def _patterns(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in value:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{pattern!r} is not a valid regular expression: {error}") from None
        return value


class TelemetrySettings(Section):
    """Traces.

    Attributes:
        otlp_endpoint: base URL of an OpenTelemetry collector (OTLP/HTTP, usually port 4318); none: no traces
        otlp_headers: headers of each export, such as a collector's credentials
        sample_ratio: share of the requests that are traced, from 0 to 1
        service_name: `service.name` of the spans
        propagate_to: names of providers that are sent `traceparent`; `*`: all
    """

    otlp_endpoint: Annotated[str, Field(max_length=2000)] | None = None
    otlp_headers: dict[str, SecretStr] = {}
    sample_ratio: Annotated[float, Field(ge=0, le=1)] = 1.0
    service_name: Annotated[str, Field(min_length=1, max_length=100)] = "finops"
    propagate_to: Annotated[tuple[str, ...], Field(max_length=100)] = ()

    @field_validator("otlp_endpoint")
    @classmethod
    def _http(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("http://", "https://")):
            raise ValueError("must start with http:// or https://")
        return value

    def header_values(self) -> dict[str, str]:
        """The headers of each export, in plain text."""
        return {name: value.get_secret_value() for name, value in self.otlp_headers.items()}
