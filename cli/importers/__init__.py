"""Translation of other gateways' configurations into ``finops.toml``."""
