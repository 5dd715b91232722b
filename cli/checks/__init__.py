"""The checks of `finops doctor`; each returns findings."""
