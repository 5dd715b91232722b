"""The ``finops`` command."""
