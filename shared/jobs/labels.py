"""Labels of jobs, and the index entries by which lists find jobs; pure.

A job's labels are its dimensions and the string pairs of its body's ``metadata``. Its record holds one line per label
(and per team and customer) in the field ``labels``; lists compare whole lines. The same lines, the model, the provider,
and an unusual type or priority choose the index sets of the job: a fixed number, so that no caller can fill the store
with names. A set therefore holds jobs of other lines too; lists compare the record.
"""

import zlib
from collections.abc import Mapping
from typing import Any

from shared.jobs.model import NewJob, Priority

INDEX_SETS = 4096
MAX_METADATA = 16
MAX_NAME = 64
MAX_VALUE = 512
DEFAULT_PROVIDER = "openai"
# Most jobs are like this: an index of them would be a list of all jobs.
USUAL_TYPE = "chat.completions"
_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n"})

Label = tuple[str, str]


def metadata_labels(fields: Mapping[str, Any]) -> tuple[Label, ...]:
    """Return the labels in a request's ``metadata``: its string pairs, as many and as long as OpenAI allows."""
    metadata = fields.get("metadata")
    if not isinstance(metadata, dict):
        return ()
    pairs = ((name, value) for name, value in metadata.items() if isinstance(name, str) and isinstance(value, str))
    fitting = [(name, value) for name, value in pairs if 0 < len(name) <= MAX_NAME and len(value) <= MAX_VALUE]
    return tuple(fitting[:MAX_METADATA])


def label_line(name: str, value: str) -> str:
    """Return the line of a label."""
    return f"l:{name}:{value}".translate(_ESCAPES)


def team_line(team: str) -> str:
    """Return the line of a team."""
    return f"t:{team}".translate(_ESCAPES)


def customer_line(customer: str) -> str:
    """Return the line of a customer."""
    return f"c:{customer}".translate(_ESCAPES)


def provider_of(model: str) -> str:
    """Return the provider that a model's name asks for."""
    provider, slash, _ = model.partition("/")
    return provider if slash else DEFAULT_PROVIDER


def index_of(kind: str, value: str) -> int:
    """Return the number of the index set of a value; ``kind`` is ``label`` for lines, else the list parameter."""
    return zlib.crc32(f"{kind}\0{value}".encode(errors="replace")) % INDEX_SETS


def stored_lines(new: NewJob) -> tuple[str, ...]:
    """Return the lines of a job's labels, team and customer."""
    lines = [label_line(name, value) for name, value in new.labels]
    owner = new.context.get("who")
    if isinstance(owner, Mapping):
        if dims := owner.get("dims"):
            lines += [label_line(name, value) for name, value in dims.items()]
        if team := owner.get("team"):
            lines.append(team_line(team))
        if customer := owner.get("customer"):
            lines.append(customer_line(customer))
    return tuple(dict.fromkeys(lines))


def labels_field(lines: tuple[str, ...]) -> str:
    """Return the record's field: each line between line feeds, so that a search finds whole ones."""
    return "\n{}\n".format("\n".join(lines)) if lines else ""


def index_sets(new: NewJob, lines: tuple[str, ...]) -> tuple[int, ...]:
    """Return the numbers of the index sets that list a new job."""
    numbers = [index_of("model", new.model), index_of("provider", provider_of(new.model))]
    if new.request_type != USUAL_TYPE:
        numbers.append(index_of("type", new.request_type))
    if new.priority is not Priority.NORMAL:
        numbers.append(index_of("priority", new.priority))
    numbers += (index_of("label", line) for line in lines)
    return tuple(dict.fromkeys(numbers))
