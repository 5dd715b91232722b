"""Amazon Bedrock's Converse format."""

from shared.providers.wires.bedrock.request import DROPPED
from shared.providers.wires.bedrock.wire import BedrockWire

__all__ = ["DROPPED", "BedrockWire"]
