"""The Lua scripts of schedules."""
