"""Lua that counts usage against limits; scripts of governance and of jobs include it."""
