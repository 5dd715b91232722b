"""One module per finops command; each exposes the click object ``command``."""
