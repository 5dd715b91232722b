"""The OpenAPI document: what FastAPI derives, and the plain ASGI endpoints beside it."""
