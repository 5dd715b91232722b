"""Stored files and batches: OpenAI's Batch API for providers without one."""
