"""What surrounds every request; pure ASGI, one file each."""
