"""LangChain's standard tests, once for each of its clients; the environment says which gateway and which provider.

The properties say what of a client the tests may expect. Images, PDF files and sound are left out because those tests
fetch their material from the internet.
"""

import os

import pytest
from langchain_anthropic import ChatAnthropic
from langchain_google_genai import ChatGoogleGenerativeAI
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from langchain_tests.integration_tests import ChatModelIntegrationTests, EmbeddingsIntegrationTests

GATEWAY = os.environ["JUDGED_GATEWAY"]
MODEL = os.environ["JUDGED_MODEL"]
OTHER_MODEL = os.environ["JUDGED_OTHER_MODEL"]
EMBEDDING_MODEL = os.environ["JUDGED_EMBEDDING_MODEL"]
KEY = "none-is-needed"


class _Chat(ChatModelIntegrationTests):
    home = "openai"
    """Whose models this client need not prefix: an answer names the model as its provider does, without a prefix."""

    @property
    def model_override_value(self) -> str | None:
        provider, _, name = OTHER_MODEL.partition("/")
        return name if provider == self.home else None

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def supports_image_tool_message(self) -> bool:
        return False


class TestOpenAIChat(_Chat):
    @property
    def chat_model_class(self):
        return ChatOpenAI

    @property
    def chat_model_params(self):
        return {"model": MODEL, "base_url": f"{GATEWAY}/openai", "api_key": KEY, "stream_usage": True}


class TestOpenAIResponses(_Chat):
    @property
    def chat_model_class(self):
        return ChatOpenAI

    @property
    def model_override_value(self) -> str:
        provider, _, name = OTHER_MODEL.partition("/")
        return name if provider == "openai" else OTHER_MODEL

    @property
    def chat_model_params(self):
        return {"model": MODEL, "base_url": f"{GATEWAY}/openai", "api_key": KEY, "use_responses_api": True}


class TestAnthropic(_Chat):
    home = "anthropic"

    @property
    def chat_model_class(self):
        return ChatAnthropic

    @property
    def chat_model_params(self):
        return {"model": MODEL, "base_url": f"{GATEWAY}/anthropic", "api_key": KEY}

    @property
    def supports_json_mode(self) -> bool:
        return False  # the client has no such method

    @property
    def supports_anthropic_inputs(self) -> bool:
        # Its thoughts are signed by the real service; the simulator refuses signatures that are not its own.
        return not MODEL.startswith("anthropic/")


class TestGenAI(_Chat):
    home = "gemini"

    @property
    def supports_model_override(self) -> bool:
        return False  # the client's own types refuse it

    @property
    def chat_model_class(self):
        return ChatGoogleGenerativeAI

    @property
    def chat_model_params(self):
        return {"model": MODEL, "base_url": f"{GATEWAY}/genai", "api_key": KEY}


@pytest.mark.skipif(not EMBEDDING_MODEL, reason="this provider has no embeddings")
class TestOpenAIEmbeddings(EmbeddingsIntegrationTests):
    @property
    def embeddings_class(self):
        return OpenAIEmbeddings

    @property
    def embedding_model_params(self):
        return {
            "model": EMBEDDING_MODEL,
            "base_url": f"{GATEWAY}/openai",
            "api_key": KEY,
            "check_embedding_ctx_length": False,
        }
