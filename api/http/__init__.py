"""What one HTTP request needs: its context, bodies, errors, streams and the server protocol."""
