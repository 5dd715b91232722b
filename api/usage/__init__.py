"""Usage and spend as callers and administrators query it."""
