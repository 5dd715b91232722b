"""The requests of the OpenAI API that belong to one provider and are forwarded: exact methods and path templates. Pure.

Whatever is not listed is not forwarded, so that no spelling of a path (case, ``//``, ``..;``, ``%5c``) leads past the
rules for the endpoints that the gateway serves itself. The path that goes on is built anew from the template.

Source: https://platform.openai.com/docs/api-reference
"""

import re
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import quote, unquote

_TEMPLATES = """
GET POST /agents
GET POST /agents/automations
DELETE GET POST /agents/automations/{id}
GET POST /agents/automations/{id}/invocations
GET /agents/automations/{id}/invocations/{part}
POST /agents/automations/{id}/pause
POST /agents/automations/{id}/resume
GET POST /agents/environments
GET POST /agents/environments/templates
DELETE GET POST /agents/environments/templates/{id}
GET /agents/environments/{id}
GET POST /agents/environments/{id}/files
GET POST /agents/sessions
DELETE GET POST /agents/sessions/{id}
GET /agents/sessions/{id}/artifacts
DELETE GET /agents/sessions/{id}/artifacts/{part}
GET /agents/sessions/{id}/artifacts/{part}/content
GET POST /agents/sessions/{id}/events
GET /agents/sessions/{id}/items
GET /agents/sessions/{id}/subagents
GET /agents/sessions/{id}/subagents/{part}
GET /agents/sessions/{id}/subagents/{part}/items
GET /agents/sessions/{id}/subagents/{part}/turns
GET /agents/sessions/{id}/subagents/{part}/turns/{part}
GET /agents/sessions/{id}/subagents/{part}/turns/{part}/items
GET /agents/sessions/{id}/traces
GET /agents/sessions/{id}/turns
GET /agents/sessions/{id}/turns/{part}
GET /agents/sessions/{id}/turns/{part}/items
DELETE GET POST /agents/{id}
GET /safety/alerts/{id}
GET /safety/cases/{id}
GET POST /assistants
DELETE GET POST /assistants/{id}
GET POST /audio/voice_consents
DELETE GET POST /audio/voice_consents/{id}
GET POST /audio/voices
DELETE GET /audio/voices/{id}
GET POST /batches
GET /batches/{id}
POST /batches/{id}/cancel
GET /chat/completions
DELETE GET POST /chat/completions/{id}
GET /chat/completions/{id}/messages
POST /chatkit/sessions
POST /chatkit/sessions/{id}/cancel
GET /chatkit/threads
DELETE GET /chatkit/threads/{id}
GET /chatkit/threads/{id}/items
GET POST /containers
DELETE GET /containers/{id}
GET POST /containers/{id}/files
DELETE GET /containers/{id}/files/{part}
GET /containers/{id}/files/{part}/content
POST /content_provenance_checks
POST /conversations
DELETE GET POST /conversations/{id}
GET POST /conversations/{id}/items
DELETE GET /conversations/{id}/items/{part}
POST /decisions
GET POST /evals
DELETE GET POST /evals/{id}
GET POST /evals/{id}/runs
DELETE GET POST /evals/{id}/runs/{part}
POST /evals/{id}/runs/{part}/cancel
GET /evals/{id}/runs/{part}/output_items
GET /evals/{id}/runs/{part}/output_items/{part}
GET POST /files
DELETE GET /files/{id}
GET /files/{id}/content
POST /fine_tuning/alpha/graders/run
POST /fine_tuning/alpha/graders/validate
GET POST /fine_tuning/checkpoints/{id}/permissions
DELETE /fine_tuning/checkpoints/{id}/permissions/{part}
GET POST /fine_tuning/jobs
GET /fine_tuning/jobs/{id}
POST /fine_tuning/jobs/{id}/cancel
GET /fine_tuning/jobs/{id}/checkpoints
GET /fine_tuning/jobs/{id}/events
POST /fine_tuning/jobs/{id}/pause
POST /fine_tuning/jobs/{id}/resume
POST /live/sessions
POST /live/sessions/{id}/accept
GET /live/sessions/{id}/content
POST /live/sessions/{id}/fork
POST /live/sessions/{id}/hangup
POST /live/sessions/{id}/refer
POST /live/sessions/{id}/reject
GET /models
DELETE GET /models/{id}
POST /realtime/calls
POST /realtime/calls/{id}/accept
POST /realtime/calls/{id}/hangup
POST /realtime/calls/{id}/refer
POST /realtime/calls/{id}/reject
POST /realtime/client_secrets
POST /realtime/sessions
POST /realtime/transcription_sessions
POST /realtime/translations/client_secrets
POST /responses/compact
POST /responses/input_tokens
DELETE GET /responses/{id}
POST /responses/{id}/cancel
GET /responses/{id}/input_items
GET POST /skills
DELETE GET POST /skills/{id}
GET /skills/{id}/content
GET POST /skills/{id}/versions
DELETE GET /skills/{id}/versions/{part}
GET /skills/{id}/versions/{part}/content
POST /threads
POST /threads/runs
DELETE GET POST /threads/{id}
GET POST /threads/{id}/messages
DELETE GET POST /threads/{id}/messages/{part}
GET POST /threads/{id}/runs
GET POST /threads/{id}/runs/{part}
POST /threads/{id}/runs/{part}/cancel
GET /threads/{id}/runs/{part}/steps
GET /threads/{id}/runs/{part}/steps/{part}
POST /threads/{id}/runs/{part}/submit_tool_outputs
POST /uploads
POST /uploads/{id}/cancel
POST /uploads/{id}/complete
POST /uploads/{id}/parts
GET POST /vaults
DELETE GET POST /vaults/{id}
GET POST /vaults/{id}/credentials
DELETE GET POST /vaults/{id}/credentials/{part}
GET POST /vector_stores
DELETE GET POST /vector_stores/{id}
POST /vector_stores/{id}/file_batches
GET /vector_stores/{id}/file_batches/{part}
POST /vector_stores/{id}/file_batches/{part}/cancel
GET /vector_stores/{id}/file_batches/{part}/files
GET POST /vector_stores/{id}/files
DELETE GET POST /vector_stores/{id}/files/{part}
GET /vector_stores/{id}/files/{part}/content
POST /vector_stores/{id}/search
GET POST /videos
POST /videos/characters
GET /videos/characters/{id}
POST /videos/edits
POST /videos/extensions
DELETE GET /videos/{id}
GET /videos/{id}/content
POST /videos/{id}/remix
"""
_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._:\-]{0,255}")
_VARIABLES = frozenset({"{id}", "{part}"})


class Template(NamedTuple):
    """One path template and its methods."""

    text: str
    methods: frozenset[str]

    @property
    def segments(self) -> list[str]:
        """The segments between its slashes."""
        return self.text[1:].split("/")


class ForwardedPath(NamedTuple):
    """A request path that matches a template.

    Attributes:
        template: The template, as ``/files/{id}/content``.
        path: The path to send, percent-encoded.
        resource_id: The object that the path names; empty: none, it lists or creates. Parts of an object (its
            messages, its files) belong to whom it belongs.
        methods: The methods of the template.
    """

    template: str
    path: str
    resource_id: str
    methods: frozenset[str]

    @property
    def lists(self) -> bool:
        """Whether a GET of it lists objects of the whole account."""
        return not self.resource_id


def _parse(table: str) -> tuple[Template, ...]:
    lines = (line.split() for line in table.strip().splitlines())
    return tuple(Template(words[-1], frozenset(words[:-1])) for words in lines)


TEMPLATES = _parse(_TEMPLATES)
_BY_LENGTH: dict[int, list[Template]] = {}
for _template in sorted(TEMPLATES, key=lambda each: each.text.count("{")):
    _BY_LENGTH.setdefault(len(_template.segments), []).append(_template)


def match_path(path: str) -> ForwardedPath | None:
    """Find the template of a path.

    Args:
        path: Below the surface's prefix, percent-encoded as it was sent, without its query.

    Returns:
        The match; None if no template fits, or an id holds what no provider's id does.
    """
    segments = path.removeprefix("/").split("/")
    for template in _BY_LENGTH.get(len(segments), ()):
        found = _fit(template, segments)
        if found is not None:
            return found
    return None


def _fit(template: Template, segments: Sequence[str]) -> ForwardedPath | None:
    resource_id, sent = "", []
    for wanted, segment in zip(template.segments, segments, strict=True):
        if wanted not in _VARIABLES:
            if segment != wanted:
                return None
            sent.append(segment)
            continue
        value = unquote(segment)
        if not _ID.fullmatch(value):
            return None
        if wanted == "{id}":
            resource_id = value
        sent.append(quote(value, safe=":"))
    return ForwardedPath(template.text, "/" + "/".join(sent), resource_id, template.methods)
