"""Tests of `shared/schedules`."""
