"""Every route of ``/api`` is authorised by construction, and has a row in the table of permissions."""

from fastapi.routing import APIRoute

from api.admin.access import AdminRoute
from api.admin.permissions import PERMISSIONS
from api.routing import _ROUTERS


def test_every_route_of_the_administration_has_a_row_and_every_row_a_route() -> None:
    found = [route for router in _ROUTERS for route in router.routes if isinstance(route, APIRoute)]
    administration = [route for route in found if route.path.startswith("/api")]
    assert all(isinstance(route, AdminRoute) for route in administration)
    routes = {f"{method} {route.path_format}" for route in administration for method in route.methods}
    assert routes == PERMISSIONS.keys(), "add a row to api/admin/permissions.py: read, operate, spend or administer"
