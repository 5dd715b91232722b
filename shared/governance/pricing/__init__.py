"""Usage of calls, and its price."""
