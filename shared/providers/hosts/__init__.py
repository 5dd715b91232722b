"""URL and credentials of a provider; knows no body."""
