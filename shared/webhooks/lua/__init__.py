"""The scripts of webhook deliveries."""
