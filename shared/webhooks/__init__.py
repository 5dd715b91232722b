"""Webhook deliveries: their queue, history and signing secrets."""
