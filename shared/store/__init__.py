"""The store: connections to a Redis-compatible server, and an embedded one."""
