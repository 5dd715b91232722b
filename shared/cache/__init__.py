"""The cache of answers: what a request asks of it, which requests are equal, what is stored, and where."""
