"""The two spellings of field names that Google's services take: ``camelCase`` and ``snake_case``.

Source: https://protobuf.dev/programming-guides/json/
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from shared.errors import InvalidRequest
from shared.surfaces.fields import need_object, unsupported


def read_object(value: object, path: str) -> dict[str, Any]:
    """The fields of a message, named in camelCase; null means absent. Inner messages keep their spelling.

    Raises:
        InvalidRequest: It is no object, or says a field in both spellings.
    """
    fields: dict[str, Any] = {}
    for name, each in need_object(value, path).items():
        camel = to_camel(name)
        if camel in fields:
            raise InvalidRequest(f"{path} has {camel} twice.", param=f"{path}.{camel}")
        if each is not None:
            fields[camel] = each
    return fields


def refuse_others(fields: Mapping[str, Any], known: AbstractSet[str], path: str) -> None:
    """Refuse fields that no part of the translation reads, so that none is lost in silence.

    Raises:
        UnsupportedParameter: There is one; ``param`` is its path.
    """
    unknown = fields.keys() - known
    if unknown:
        raise unsupported(f"{path}.{min(unknown)}", "the gateway does not know the field.")


def to_camel(name: str) -> str:
    """``system_instruction`` as ``systemInstruction``."""
    first, *others = name.split("_")
    return first + "".join(each[:1].upper() + each[1:] for each in others)
