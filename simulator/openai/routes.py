"""Every OpenAI route, with and without its version prefix."""

from dataclasses import replace

from simulator.calls import Route
from simulator.openai import audio as openai_audio
from simulator.openai import batches as openai_batches
from simulator.openai import chat as openai_chat
from simulator.openai import completions as openai_completions
from simulator.openai import embeddings as openai_embeddings
from simulator.openai import files as openai_files
from simulator.openai import images as openai_images
from simulator.openai import models as openai_models
from simulator.openai import moderations as openai_moderations
from simulator.openai import response_items as openai_response_items
from simulator.openai import responses as openai_responses
from simulator.openai import videos as openai_videos

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
    openai_videos,
)


def routes() -> list[Route]:
    """Return all routes; those with a prefix come first."""
    plain = [route for family in FAMILIES for route in family.ROUTES]
    return [replace(route, pattern=prefix + route.pattern) for prefix in PREFIXES for route in plain]
