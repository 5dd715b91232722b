"""What jobs noted: when sent, when started, when ended; one file that all workers of a run append to."""

import os
import struct
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

RECORD = struct.Struct("<ddqq")  # as in peers/common.py
START, END, BOTH = 0, 1, 2


@dataclass(frozen=True)
class Note:
    sent: float
    at: float
    tag: int
    kind: int
    pid: int

    @property
    def wait_ms(self) -> float:
        return (self.at - self.sent) * 1000


class Records:
    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="finops-bench-")
        self.path = Path(self._directory.name) / "records"
        self.path.touch()
        self._from = 0

    def count(self) -> int:
        return (os.stat(self.path).st_size - self._from) // RECORD.size

    def clear(self) -> None:
        self._from = os.stat(self.path).st_size

    def wait_for(self, count: int, patience_s: float, pause_s: float = 0.004) -> bool:
        deadline = time.monotonic() + patience_s
        while self.count() < count:
            if time.monotonic() > deadline:
                return False
            time.sleep(pause_s)
        return True

    def notes(self) -> list[Note]:
        data = self.path.read_bytes()[self._from :]
        whole = RECORD.iter_unpack(data[: len(data) // RECORD.size * RECORD.size])
        return [Note(sent, at, tag, kind & 3, kind >> 2) for sent, at, tag, kind in whole]

    def starts(self) -> list[Note]:
        """Starts of jobs that the measurement sent, not of the senders' warm-up jobs."""
        return [note for note in self.notes() if note.kind != END and note.tag >= 0]


def quantile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")
