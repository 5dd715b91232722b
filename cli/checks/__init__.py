"""The order of the checks of `finops doctor`, and the one of the running gateway."""
