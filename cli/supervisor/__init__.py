"""Child processes of finops serve: started, watched, restarted and stopped."""

ORDERS_OPTION = "--orders-fd"
"""Option of a process that is started ahead: the socket by which it gets its orders. Here, as nothing is imported."""
