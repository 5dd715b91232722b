"""Reading the configuration again on request: in this process, or by the supervisor that started it."""

import asyncio
import json
import logging
import socket
import uuid
from collections.abc import Awaitable, Callable
from typing import Protocol

from shared.errors import InvalidConfigurationFile, StoreUnavailable
from shared.providers.configuration import Configuration
from shared.settings.differences import Change
from shared.settings.model import Settings

REQUEST = b"reload\n"
ANSWER_S = 120.0
READ_BYTES = 64 * 1024

logger = logging.getLogger("finops.config")


class Reload(Protocol):
    """Puts the configuration in force that file and environment have now."""

    origin: str
    """Names this process in announcements."""

    async def __call__(self) -> list[Change]:
        """Read, check and put in force.

        Returns:
            What has changed.

        Raises:
            InvalidConfigurationFile: It is invalid; nothing has changed.
        """
        ...


class OwnReload:
    """Reloads this process, which nobody supervises.

    Args:
        configuration: The settings in force.
        replace: Puts others in force.
    """

    def __init__(self, configuration: Configuration, replace: Callable[[Settings], Awaitable[None]]) -> None:
        self.origin = uuid.uuid4().hex
        self._configuration = configuration
        self._replace = replace
        self._one_at_a_time = asyncio.Lock()

    async def __call__(self) -> list[Change]:
        """Reload; see ``Reload``."""
        async with self._one_at_a_time:
            try:
                settings, changes = await asyncio.to_thread(self._configuration.read)
                if changes:
                    await self._replace(settings)
            except ValueError as error:  # the file is refused, or what is built with it
                raise InvalidConfigurationFile(f"The configuration was not reloaded. {error}") from None
            self._configuration.settings = settings
            return changes


class SupervisedReload:
    """Asks the supervisor, which replaces all of its processes.

    The socket is read only while an answer is due: this process's successor inherits it too.

    Args:
        control: The process's end of a stream socket.
    """

    def __init__(self, control: socket.socket) -> None:
        self.origin = uuid.uuid4().hex
        control.setblocking(False)
        self._control = control
        self._one_at_a_time = asyncio.Lock()

    async def __call__(self) -> list[Change]:
        """Reload; see ``Reload``."""
        async with self._one_at_a_time:
            try:
                async with asyncio.timeout(ANSWER_S):
                    answer = json.loads(await self._ask())
            except (TimeoutError, OSError, ValueError):
                raise StoreUnavailable("The supervisor did not answer. Try again.") from None
        if "error" in answer:
            raise InvalidConfigurationFile(f"The configuration was not reloaded. {answer['error']}")
        return [Change(**change) for change in answer["changes"]]

    async def _ask(self) -> bytes:
        loop, answer = asyncio.get_running_loop(), b""
        await loop.sock_sendall(self._control, REQUEST)
        while not answer.endswith(b"\n"):
            part = await loop.sock_recv(self._control, READ_BYTES)
            if not part:
                raise ConnectionError("the supervisor has ended")
            answer += part
        return answer


async def reload_and_log(reload: Reload) -> None:
    """Reload at a signal or an announcement, which nobody waits for."""
    try:
        changes = await reload()
    except (InvalidConfigurationFile, StoreUnavailable) as error:
        logger.error("configuration not reloaded, nothing has changed: %s", error.message)  # noqa: TRY400
        return
    logger.info("configuration reloaded", extra={"changes": [str(change) for change in changes]})
