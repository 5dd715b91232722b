"""Which request fields beyond OpenAI's own a provider understands."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """What a translated request may hold; the default is OpenAI's format and nothing else.

    Attributes:
        anthropic: All fields of Anthropic's Messages format.
        google: All fields of Google's Gemini format.
        claude: What Claude understands in any format: thinking, signed thoughts, cache marks on content.
        top_k: Top-k sampling.
    """

    anthropic: bool = False
    google: bool = False
    claude: bool = False
    top_k: bool = False
