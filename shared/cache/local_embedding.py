"""Embeddings made in this process: the static vectors of WordLlama, from the extra ``semantic``.

A prompt takes 0.1 to 0.6 ms of CPU and the table 20 MB. Nothing is downloaded: the table is in the package.
Source: https://github.com/dleemiller/WordLlama (MIT).
"""

from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from shared.cache.vectors import Vector, unit_vector

_TOKENIZER = "tokenizers/l2_supercat_tokenizer_config.json"
_TABLE = "weights/l2_supercat_256.safetensors"


@lru_cache(maxsize=1)
def local_embedding() -> Callable[[str], Vector | None]:
    """Load the table (0.6 s, in a thread) and return what embeds a text; None of a text without known words.

    Raises:
        ImportError: The extra is not installed.
    """
    tokenizers: Any = import_module("tokenizers")  # an extra, imported where it is used
    safetensors: Any = import_module("safetensors")
    package = find_spec("wordllama")  # its own loader imports a client for downloads
    if package is None or package.origin is None:
        raise ImportError("the extra semantic is not installed")
    root = Path(package.origin).parent
    tokenizer = tokenizers.Tokenizer.from_file(str(root / _TOKENIZER))
    with safetensors.safe_open(root / _TABLE, "np") as tensors:
        table = tensors.get_tensor("embedding.weight")

    def embed(text: str) -> Vector | None:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        return unit_vector(table[ids].astype("float32").mean(axis=0).tolist()) if ids else None

    return embed
