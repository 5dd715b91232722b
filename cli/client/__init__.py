"""The gateway as its users see it: HTTP calls of the commands that talk to a running system."""
