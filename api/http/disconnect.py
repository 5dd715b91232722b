"""Detects that the caller of a running request has hung up, at no cost for quick requests."""

import asyncio
from types import TracebackType
from typing import Self

from api.http.cycle import CallerLine, line_to_caller
from api.http.request_context import Receive
from shared.errors import ClientGone
from shared.inference.call import Call
from shared.inference.presence import LONGEST_READ_S

# Our own server says at once, and for nothing, that a caller is gone. Elsewhere a task has to wait for that, which
# costs some 15 us of CPU, more than all else a quick request needs of us. So it is made only for requests that are not
# answered by then; an upstream call is closed well within a second all the same.
WATCH_AFTER_S = 0.25


class Hangup:
    """Context manager: while it is entered, a caller's disconnect ends the current task with ``ClientGone``.

    Enter it after the request's body has been read.

    Args:
        receive: Tells of the disconnect.
        call: The call that the task answers. It goes on while identical calls of others wait for its answer, and, if it
            has reserved its cost, until its provider has reported that cost, for at most ``LONGEST_READ_S``.
    """

    __slots__ = ("_gone", "_line", "_receive", "_task", "_timer", "_use", "_watcher", "left", "reads_on")

    def __init__(self, receive: Receive, call: Call | None = None) -> None:
        self.reads_on = self.left = False
        self._use = None
        if call is not None:
            self._use = call.cache
            call.presence = self
        self._line: CallerLine | None = line_to_caller(receive)
        self._receive = receive
        self._gone = False
        self._task: asyncio.Task[object] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._watcher: asyncio.Task[None] | None = None

    def __enter__(self) -> Self:
        """Start to watch."""
        self._task = asyncio.current_task()
        if self._line is not None:
            self._line.watch(self._end)
        else:
            self._timer = asyncio.get_running_loop().call_later(WATCH_AFTER_S, self._begin)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Stop watching.

        Raises:
            ClientGone: Instead of the cancellation that the disconnect has caused, or of what came after it.
        """
        if self._line is not None:
            self._line.watch(None)
        if self._timer is not None:
            self._timer.cancel()
        if self._watcher is not None:
            self._watcher.cancel()
        task, self._task = self._task, None  # the call refers to this, and the task to the call
        cancelled = self._gone and kind is asyncio.CancelledError and task is not None and task.uncancel() == 0
        if cancelled or (self.left and (kind is None or issubclass(kind, Exception))):
            raise ClientGone("The caller hung up before the answer.") from None

    def _begin(self) -> None:
        self._watcher = asyncio.get_running_loop().create_task(self._watch())

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._end()

    def _end(self) -> None:
        if self._use is None or not self._use.go_on(self._leave):
            self._leave()

    def _leave(self) -> None:
        if not self.reads_on:
            self._cancel()
        elif not self.left:
            self.left = True
            self._timer = asyncio.get_running_loop().call_later(LONGEST_READ_S, self._stop_reading)

    def _stop_reading(self) -> None:
        if self._use is None or not self._use.go_on(self._cancel):
            self._cancel()

    def _cancel(self) -> None:
        # Once: two watchers of a shared call's lock may stop it in one turn, and one cancellation is undone at the end.
        if not self._gone and self._task is not None:
            self._task.cancel()
        self._gone = True
