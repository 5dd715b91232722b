"""The engine's parts over several shards, with the interfaces of those over one; built only where there are several."""
