"""Tests mirror the packages; journeys come first."""
