"""Provider health: circuits, cooldowns, throttles, latencies, shared by all processes."""
