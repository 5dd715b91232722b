"""The scripts of alert rules."""
