"""The C library's allocator, set up for large bodies."""

MAPPED_BYTES = 1024 * 1024
_M_MMAP_THRESHOLD = -3  # https://man7.org/linux/man-pages/man3/mallopt.3.html


def map_large_blocks() -> bool:
    """Have blocks of a megabyte and more mapped one by one: they grow without a copy, and are returned when freed.

    glibc raises that limit to 32 MB as such blocks are freed, and then copies a body that grows again and again: 30 ms
    at one piece, where it is 1 ms.

    Returns:
        Whether the limit is set; False with another C library.
    """
    import ctypes  # noqa: PLC0415 - it takes 5 ms, and only processes that serve need it

    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, MAPPED_BYTES))
