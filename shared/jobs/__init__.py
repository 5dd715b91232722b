"""The job engine: the job model, the job store and the queue."""
