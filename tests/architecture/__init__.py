"""Tests that hold the code to the project's own rules."""
