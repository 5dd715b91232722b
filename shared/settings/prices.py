"""Sections of prices that replace or complete the published ones."""

from typing import Annotated

from pydantic import Field

from shared.settings.section import Section, Usd


class TierSettings(Section):
    """Prices of calls whose prompt has more than so many tokens; USD per million tokens, unset ones keep theirs."""

    above: Annotated[int, Field(gt=0)]
    input: Usd | None = None
    output: Usd | None = None
    cached: Usd | None = None
    cache_write: Usd | None = None
    reasoning: Usd | None = None


class PriceSettings(Section):
    """Prices of a model: USD per million tokens unless the name says otherwise; unset prices stay as published.

    ``discount`` is the part taken off everything (0.1: ten percent), ``batch_discount`` that of batches and
    ``flex_discount`` that of the service tier ``flex``. ``max_output`` is the most tokens that the model answers, which
    a call without a limit of its own reserves.
    """

    input: Usd | None = None
    output: Usd | None = None
    cached: Usd | None = None
    cache_write: Usd | None = None
    reasoning: Usd | None = None
    audio_input: Usd | None = None
    audio_output: Usd | None = None
    image_input: Usd | None = None
    image_output: Usd | None = None
    million_characters: Usd | None = None
    image: Usd | None = None
    second: Usd | None = None
    request: Usd | None = None
    cache_write_1h: Usd | None = None
    web_search: Usd | None = None
    file_search: Usd | None = None
    code_session: Usd | None = None
    max_output: Annotated[int, Field(gt=0, le=10_000_000)] | None = None
    tiers: tuple[TierSettings, ...] = ()
    discount: Annotated[float, Field(ge=0, le=1)] = 0.0
    batch_discount: Annotated[float, Field(ge=0, le=1)] | None = None
    flex_discount: Annotated[float, Field(ge=0, le=1)] | None = None
