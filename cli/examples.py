"""The examples below each command's ``--help``."""


def examples(*commands: str) -> str:
    """A help epilogue of commands, one a line; click leaves lines as they are after a backspace."""
    return "\b\nExamples:\n" + "\n".join(f"  {command}" for command in commands)
