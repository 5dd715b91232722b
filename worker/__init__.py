"""The worker process: a leased arq worker, the tasks it runs, batches and webhooks."""
