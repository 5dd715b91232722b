"""What the operator said: finops.toml and the environment."""
