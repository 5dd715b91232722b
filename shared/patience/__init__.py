"""Lanes: how jobs that can wait are run for less."""
