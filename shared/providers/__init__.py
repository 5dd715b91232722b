"""Who runs the models: registry, client, wires and hosts."""
