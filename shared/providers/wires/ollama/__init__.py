"""Ollama's own format, for what its OpenAI endpoint cannot say (``keep_alive``, ``num_ctx``)."""

from shared.providers.wires.ollama.request import DROPPED
from shared.providers.wires.ollama.wire import OllamaWire

__all__ = ["DROPPED", "OllamaWire"]
