"""Google's Gemini format (generateContent, embedContent), as a provider speaks it."""

from shared.providers.wires.gemini.paths import ModelMethod, method_path, split_path
from shared.providers.wires.gemini.request import DROPPED
from shared.providers.wires.gemini.wire import GeminiWire

__all__ = ["DROPPED", "GeminiWire", "ModelMethod", "method_path", "split_path"]
