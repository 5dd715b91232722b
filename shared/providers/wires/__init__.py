"""Pure translation between OpenAI's formats and a provider's; knows no URL and no credentials."""
