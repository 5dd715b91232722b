"""Metrics of the object store for large bodies."""

from prometheus_client import CollectorRegistry, Counter, Histogram

BUCKETS_S = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class BlobMetrics:
    """Counts operations, bytes written and times (``BlobWatch``).

    Args:
        registry: The process's.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._operations = Counter(
            "finops_blob_operations", "Operations on the object store.", ["operation", "result"], registry=registry
        )
        self._bytes = Counter("finops_blob_bytes", "Bytes written to the object store.", registry=registry)
        self._seconds = Histogram(
            "finops_blob_seconds",
            "How long an operation on the object store took.",
            ["operation"],
            buckets=BUCKETS_S,
            registry=registry,
        )

    def blob_operation(self, operation: str, seconds: float, size: int, *, failed: bool) -> None:
        """Record an operation and the bytes that it wrote."""
        self._operations.labels(operation, "failed" if failed else "done").inc()
        self._seconds.labels(operation).observe(seconds)
        if size and not failed:
            self._bytes.inc(size)
