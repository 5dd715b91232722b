"""The dialects of the targets that tests translate for, by name."""

from shared.providers.wires.anthropic import AnthropicWire
from shared.providers.wires.bedrock import BedrockWire
from shared.providers.wires.gemini import GeminiWire
from shared.providers.wires.ollama import OllamaWire
from shared.providers.wires.openai import OpenAIWire
from shared.surfaces.dialect import Dialect

DIALECTS = {
    "anthropic": AnthropicWire().dialect("claude-opus-4-1"),
    "bedrock claude": BedrockWire().dialect("eu.anthropic.Claude-sonnet-4-5"),
    "bedrock": BedrockWire().dialect("amazon.nova-pro-v1:0"),
    "gemini": GeminiWire().dialect("gemini-2.5-pro"),
    "ollama": OllamaWire().dialect("qwen3:4b"),
    "openai": OpenAIWire().dialect("gpt-5"),
    "openai like": Dialect(top_k=True),
}
