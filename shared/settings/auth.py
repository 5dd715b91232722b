"""``[auth]``: keys of administrators, and the provider at which people sign in."""

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator

from shared.settings.section import Section

RoleName = Literal["viewer", "operator", "finance", "admin"]
_DEFAULT_ROLES: dict[RoleName, tuple[str, ...]] = {
    "viewer": ("finops-viewer",),
    "operator": ("finops-operator",),
    "finance": ("finops-finance",),
    "admin": ("finops-admin",),
}


class OidcSettings(Section):
    """An OpenID provider at which people sign in to the console and ``/api``."""

    issuer: str
    client_id: Annotated[str, Field(min_length=1)]
    client_secret: SecretStr | None = None
    scopes: tuple[str, ...] = ("openid", "profile", "email")
    role_claim: Annotated[str, Field(min_length=1)] = "roles"
    roles: dict[RoleName, tuple[str, ...]] = _DEFAULT_ROLES
    default_role: RoleName | None = None
    redirect_uri: str | None = None

    @field_validator("issuer", "redirect_uri")
    @classmethod
    def _https(cls, value: str | None) -> str | None:
        if value is not None:
            parts = urlsplit(value)
            local = parts.hostname in {"localhost", "127.0.0.1", "::1"}
            if not parts.hostname or not (parts.scheme == "https" or (parts.scheme == "http" and local)):
                raise ValueError("must be an https URL")
        return value


class AuthSettings(Section):
    """Authentication."""

    require_virtual_key: Literal["auto"] | bool = "auto"
    admin_key: SecretStr | None = None
    monitoring_token: Annotated[SecretStr, Field(min_length=16, max_length=256)] | None = None
    oidc: OidcSettings | None = None
