"""One file per endpoint family, thin."""
