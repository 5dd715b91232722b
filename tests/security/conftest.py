"""The gateway of the API's tests."""

from tests.api.conftest import gateway, sim, start, tenants

__all__ = ["gateway", "sim", "start", "tenants"]
