"""Lua that writes the ledger and its roll-ups; scripts of governance and of jobs include it."""
