"""The scripts that keep files and batches, as package data."""
