"""Stores whose primary moves."""
