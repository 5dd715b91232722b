"""Tests of the cache of answers."""
