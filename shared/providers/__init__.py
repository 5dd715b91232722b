"""Providers: registry, client, hosts, wires, transport and health."""
