"""Files and batches of our own: OpenAI's Batch API for providers that have none."""
