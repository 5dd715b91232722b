"""Places in the sets of jobs by creation."""

from typing import Literal

from shared.store.commands import Argument

Order = Literal["asc", "desc"]
Position = tuple[Argument, Argument]
"""Score and id of an entry of a set."""
START: Position = ("", "")
