"""The job engine: what a job is, where it is kept, how it is queued."""
