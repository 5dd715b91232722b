"""Checks of an installation, for `finops doctor` and the System page of the console."""
