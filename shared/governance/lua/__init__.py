"""The scripts of governance."""
