"""Pages for people: the front page, and the documentation of the API."""
