"""Lua scripts of lanes."""
