"""Tests of providers/wires."""
