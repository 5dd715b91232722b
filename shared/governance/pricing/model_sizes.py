"""The most tokens that models answer and read, for estimates of calls that do not limit their answer."""

import re
from typing import Final, NamedTuple

PUBLISHED: Final = "2026-11"
"""When the table was last compared with the providers' pages.

Sources: https://platform.openai.com/docs/models, https://docs.anthropic.com/en/docs/about-claude/models/overview,
https://ai.google.dev/gemini-api/docs/models, https://api-docs.deepseek.com/quick_start/pricing,
https://docs.cohere.com/docs/models, https://docs.mistral.ai/getting-started/models
"""

# Beginning of the model's name, without what stands before the last slash, to the most tokens of one answer; the first
# that fits counts. A newer member of a family has its family's figure.
_MAX_OUTPUT: tuple[tuple[str, int], ...] = (
    (r"gpt-3\.5", 4_096),
    (r"gpt-4o-2024-05-13|gpt-4-turbo|gpt-4-(1106|0125|vision)|gpt-4o(-mini)?-realtime|gpt-realtime", 4_096),
    (r"gpt-4o|chatgpt-4o|gpt-audio|gpt-4\.5", 16_384),
    (r"gpt-4\.1", 32_768),
    (r"gpt-4", 8_192),
    (r"gpt-(5|5\.1|5\.2|5\.3)-chat", 16_384),
    (r"gpt-5-pro", 272_000),
    (r"gpt-oss", 131_072),
    (r"gpt-[5-9]", 128_000),
    (r"o1-preview", 32_768),
    (r"o1-mini", 65_536),
    (r"o[1-9]|codex-mini", 100_000),
    (r"claude-(instant|v?[12]\b|3-(opus|sonnet|haiku))", 4_096),
    (r"claude-3-5", 8_192),
    (r"claude-3-7", 128_000),
    (r"claude-opus-4(-[01])?(-20\d+|@.*)?$", 32_000),
    (r"claude-(opus-4-5|sonnet-4(-[05])?|haiku-4(-5)?)(-20\d+|@.*)?(-v\d.*)?$", 64_000),
    (r"claude", 128_000),
    (r"gemini-(1|2\.0|pro\b)", 8_192),
    (r"gemini", 65_536),
    (r"gemma", 8_192),
    (r"deepseek-(reasoner|r1)", 65_536),
    (r"deepseek-chat", 8_192),
    (r"command-a", 8_000),
    (r"command", 4_000),
)
_PATTERNS = tuple((re.compile(pattern), most) for pattern, most in _MAX_OUTPUT)
UNKNOWN_CONTEXT = 200_000
UNKNOWN_OUTPUT = 128_000
LONGEST = 2_000_000


class ModelSize(NamedTuple):
    """Sizes of a model, in tokens.

    Attributes:
        output: The most that one answer can have.
        context: The most that it reads.
        published: Whether ``output`` is published or configured; False: an assumption, which a caller's own limit may
            exceed.
    """

    output: int = UNKNOWN_OUTPUT
    context: int = UNKNOWN_CONTEXT
    published: bool = False


UNKNOWN_SIZE = ModelSize()


def model_size(model: str, context: int | None = None, configured: int | None = None) -> ModelSize:
    """Return the sizes of a model.

    Args:
        model: As its provider calls it; a fine-tuned model (``ft:base:…``) has the sizes of its base.
        context: Its context window, if it is known.
        configured: Its most output tokens in the configuration; comes before the published figure.
    """
    window = context or UNKNOWN_CONTEXT
    if configured is not None:
        return ModelSize(configured, window, published=True)
    name = model.removeprefix("ft:").rpartition("/")[2].lower()
    name = name.removeprefix("us.").removeprefix("eu.").removeprefix("global.").removeprefix("anthropic.")
    for pattern, most in _PATTERNS:
        if pattern.match(name):
            return ModelSize(most, window, published=True)
    if context:
        return ModelSize(min(context, UNKNOWN_OUTPUT), context, published=True)
    return UNKNOWN_SIZE
