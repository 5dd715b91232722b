"""Anthropic's Messages format, as a provider speaks it."""

from shared.providers.wires.anthropic.request import DROPPED
from shared.providers.wires.anthropic.wire import AnthropicWire

__all__ = ["DROPPED", "AnthropicWire"]
