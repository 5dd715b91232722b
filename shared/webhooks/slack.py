"""Events as messages of Slack's incoming webhooks: ``{"text": ...}``.

Source: https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks; other chats accept the same form.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

import orjson

from shared.settings.model import WebhookSettings
from shared.webhooks.model import NewDelivery, origin_of

MAX_TEXT: Final = 3000
# https://docs.slack.dev/messaging/formatting-message-text#escaping
_ESCAPES: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def as_received(new: NewDelivery, webhook: WebhookSettings | None) -> NewDelivery:
    """Return a delivery in the format of its receiver.

    For a chat the event becomes a text, and the URL is listed without its path, which authorises the sender.

    Args:
        new: With the event in its standard form.
        webhook: The configured receiver; None: a URL that came with a submit.
    """
    if webhook is None or webhook.format != "slack":
        return new
    return replace(new, body=slack_body(orjson.loads(new.body)), url=origin_of(new.url))


def slack_body(event: Mapping[str, Any]) -> bytes:
    """Render an event as a message."""
    kind, data = str(event["type"]), event["data"]
    text = _TEXTS.get(kind, _plain)(kind, data)
    return orjson.dumps({"text": text.translate(_ESCAPES)[:MAX_TEXT]})


def _firing(_: str, data: Mapping[str, Any]) -> str:
    return f"[FIRING] {data['rule']}: {_reading(data)}"


def _resolved(_: str, data: Mapping[str, Any]) -> str:
    return f"[RESOLVED] {data['rule']}: {_reading(data)}"


def _reading(data: Mapping[str, Any]) -> str:
    value = "unknown" if data["value"] is None else f"{data['value']:g}"
    return f"{data['metric']} is {value} (threshold {data['threshold']:g})"


def _budget(_: str, data: Mapping[str, Any]) -> str:
    used, limit = data["used_usd"], data["limit_usd"]
    return (
        f"{data['scope']} has used {data['percent']} % of its budget per {data['window']}: ${used:.2f} of ${limit:.2f}"
    )


def _anomaly(_: str, data: Mapping[str, Any]) -> str:
    return f"{data['scope']} has spent ${data['used_usd']:.2f} today, usually ${data['usual_usd']:.2f} a day"


def _plain(kind: str, data: Mapping[str, Any]) -> str:
    about = data.get("scope") or data.get("id") or data.get("webhook") or ""
    return f"{kind}: {about}"


_TEXTS: Final[Mapping[str, Callable[[str, Mapping[str, Any]], str]]] = {
    "alert.firing": _firing,
    "alert.resolved": _resolved,
    "budget.threshold": _budget,
    "spend.anomaly": _anomaly,
}
