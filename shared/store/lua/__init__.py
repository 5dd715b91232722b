"""Lua that scripts of several packages share: meters, holds and the books."""
