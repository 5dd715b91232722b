"""The public formats (OpenAI, Anthropic, GenAI), pure: no I/O, no URL, no credentials."""
