"""Every OpenAI route, with and without its version prefix."""

from dataclasses import replace

from simulator import (
    openai_audio,
    openai_batches,
    openai_chat,
    openai_completions,
    openai_embeddings,
    openai_files,
    openai_images,
    openai_models,
    openai_moderations,
    openai_response_items,
    openai_responses,
)
from simulator.calls import Route

PREFIXES = ("/v1", "")
FAMILIES = (
    openai_chat,
    openai_completions,
    openai_embeddings,
    openai_responses,
    openai_response_items,
    openai_models,
    openai_moderations,
    openai_images,
    openai_audio,
    openai_files,
    openai_batches,
)


def routes() -> list[Route]:
    """All of them; the prefixed ones come first."""
    plain = [route for family in FAMILIES for route in family.ROUTES]
    return [replace(route, pattern=prefix + route.pattern) for prefix in PREFIXES for route in plain]
