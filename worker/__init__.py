"""How a job is worked off: the leased arq worker and its tasks."""
