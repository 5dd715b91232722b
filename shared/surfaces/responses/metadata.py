"""What a caller may hang on a Response.

Source: https://platform.openai.com/docs/api-reference/responses/create#responses-create-metadata
"""

from shared.errors import InvalidRequest

MAX_KEYS = 16
MAX_KEY_CHARS = 64
MAX_VALUE_CHARS = 512


def check_metadata(metadata: object) -> None:
    """Refuse metadata that OpenAI would refuse; None is no metadata.

    Raises:
        InvalidRequest: It is no object of strings, has too many keys, or one is too long.
    """
    if metadata is None:
        return
    if not isinstance(metadata, dict):
        raise InvalidRequest("metadata must be an object with strings as values.", param="metadata")
    if len(metadata) > MAX_KEYS:
        raise InvalidRequest(f"metadata has {len(metadata)} keys; at most {MAX_KEYS} are allowed.", param="metadata")
    for key, value in metadata.items():
        if len(key) > MAX_KEY_CHARS:
            raise InvalidRequest(
                f"The metadata key {key[:MAX_KEY_CHARS]!r}… is longer than {MAX_KEY_CHARS} characters.",
                param="metadata",
            )
        if not isinstance(value, str):
            raise InvalidRequest(f"The metadata value of {key!r} must be a string.", param=f"metadata.{key}")
        if len(value) > MAX_VALUE_CHARS:
            raise InvalidRequest(
                f"The metadata value of {key!r} is longer than {MAX_VALUE_CHARS} characters.",
                param=f"metadata.{key}",
            )
