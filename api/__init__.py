"""How a caller reaches us: the HTTP surfaces."""
