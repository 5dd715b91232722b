"""The web console: static files that the API serves at /ui. No build step; vendor/ is pinned by hash."""
