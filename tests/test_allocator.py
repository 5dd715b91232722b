"""Large blocks are mapped where the C library can be told so."""

import ctypes
import sys

import pytest

from shared.allocator import map_large_blocks


def test_large_blocks_are_mapped_with_glibc_and_nothing_happens_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    glibc = sys.platform == "linux" and hasattr(ctypes.CDLL(None), "gnu_get_libc_version")
    assert map_large_blocks() is glibc
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    assert map_large_blocks() is False
