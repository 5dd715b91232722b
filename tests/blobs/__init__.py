"""Tests of bodies outside Redis, and of compressed ones."""
