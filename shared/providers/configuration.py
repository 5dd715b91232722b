"""The configuration of a running process, which can be read again."""

from collections.abc import Callable, Mapping

from shared.providers.references import check_references
from shared.providers.registry import configured_providers
from shared.providers.senders import check_senders
from shared.settings.differences import Change, differences, fixed_changes
from shared.settings.load import load_settings
from shared.settings.model import Settings


class FixedSetting(ValueError):
    """A setting has changed that only a restart can change."""


class Configuration:
    """The settings in force, and where they are read.

    Args:
        settings: The settings with which the process started.
        environ: Its environment, with ``FINOPS_CONFIG``; its variables do not change while it runs.
        check: Refuses settings with a ``ValueError``, for reasons of the process.

    Attributes:
        settings: The settings in force.
    """

    def __init__(
        self, settings: Settings, environ: Mapping[str, str], check: Callable[[Settings], None] | None = None
    ) -> None:
        self.settings = settings
        self._environ = environ
        self._check = check

    def read(self) -> tuple[Settings, list[Change]]:
        """Read file and environment again, and check them as a start does; nothing is put in force. Blocks.

        Returns:
            The new settings, and what differs from those in force.

        Raises:
            InvalidConfiguration: The file is invalid; one line a fault.
            IncompleteProvider: It refers to something that does not exist.
            FixedSetting: It changes what only a restart can change.
            ValueError: The process refuses it.
        """
        settings = load_settings(environ=self._environ)
        providers = configured_providers(settings, self._environ)
        check_references(settings, providers)
        check_senders(providers, self._environ)
        if self._check is not None:
            self._check(settings)
        if fixed := fixed_changes(self.settings, settings):
            raise FixedSetting(f"{', '.join(fixed)} cannot be changed by a reload; restart instead")
        return settings, differences(self.settings, settings)
