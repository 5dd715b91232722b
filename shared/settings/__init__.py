"""Configuration: ``finops.toml`` and the environment."""
