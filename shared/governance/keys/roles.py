"""What administrators may do: a role holds permissions, and each route of ``/api`` needs one."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """The role of a token or of a person who signed in."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    FINANCE = "finance"
    ADMIN = "admin"
    MONITORING = "monitoring"
    """That of ``auth.monitoring_token`` alone."""


class Permission(StrEnum):
    """What a route needs."""

    MONITOR = "monitor"
    """Metrics, and the number of workers wanted."""
    READ = "read"
    """Everything but secrets: jobs with their results, spend, keys, limits, the audit trail."""
    OPERATE = "operate"
    """Act on jobs, queue, deliveries, alerts and cache; reload the configuration."""
    SPEND = "spend"
    """Raise budgets."""
    ADMINISTER = "administer"
    """Keys, tokens and secrets."""


_READ = frozenset({Permission.MONITOR, Permission.READ})
PERMISSIONS: Mapping[Role, frozenset[Permission]] = {
    Role.MONITORING: frozenset({Permission.MONITOR}),
    Role.VIEWER: _READ,
    Role.OPERATOR: _READ | {Permission.OPERATE},
    Role.FINANCE: _READ | {Permission.SPEND},
    Role.ADMIN: frozenset(Permission),
}
GIVEN_ROLES = (Role.VIEWER, Role.OPERATOR, Role.FINANCE, Role.ADMIN)
"""Those that a token or a person can have, with the fewest permissions first."""


@dataclass(frozen=True, slots=True)
class Administrator:
    """Who administers.

    Attributes:
        name: For the audit trail; empty: the holder of the admin key.
        role: What they may do.
    """

    name: str
    role: Role

    def may(self, permission: Permission) -> bool:
        """Whether the role has a permission."""
        return permission in PERMISSIONS[self.role]


def roles_with(permission: Permission) -> str:
    """Name the roles that have a permission, for people: ``operator or admin``."""
    return " or ".join(role.value for role in GIVEN_ROLES if permission in PERMISSIONS[role])
