"""A month of sample traffic for ``finops serve --demo``."""
