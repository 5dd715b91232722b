"""`/videos`: a video advances one state with every look at it: queued, in_progress, then completed or failed.

It fails if its prompt says `end=failed`, and expires if it says `end=expired`.
Source: https://platform.openai.com/docs/api-reference/videos
"""

import re
import time
from typing import Any

import orjson

from simulator.calls import Call, Reply, Route
from simulator.model.ids import hexadecimal
from simulator.openai.errors import OPENAI, missing, unknown

_END = re.compile(r"\bend=(failed|expired)\b")


def create_video(call: Call) -> Reply:
    """Accept a video.

    Raises:
        Refusal: it has no prompt.
    """
    fields = call.body or (call.form.fields if call.form else {})
    if not isinstance(fields.get("prompt"), str):
        raise missing("prompt")
    video: dict[str, Any] = {
        "id": hexadecimal("video_", 32),
        "object": "video",
        "created_at": int(time.time()),
        "model": fields.get("model") or "sora-2",
        "prompt": fields["prompt"],
        "seconds": str(fields.get("seconds") or "4"),
        "size": fields.get("size") or "720x1280",
        "status": "queued",
        "progress": 0,
        "error": None,
    }
    call.store.videos.put(video["id"], video)
    return Reply(orjson.dumps(video))


def retrieve_video(call: Call) -> Reply:
    """One video, after it has advanced by one state.

    Raises:
        Refusal: there is no such video.
    """
    video = call.store.videos.get(call.params["id"])
    if video is None:
        raise unknown("video", call.params["id"])
    if video["status"] == "queued":
        video |= {"status": "in_progress", "progress": 50}
    elif video["status"] == "in_progress":
        _end(video)
    return Reply(orjson.dumps(video))


def _end(video: dict[str, Any]) -> None:
    end = _END.search(video["prompt"])
    video |= {"status": end[1] if end else "completed", "completed_at": int(time.time())}
    if end:
        video["error"] = {"code": "video_generation_failed", "message": "The video could not be made."}
    else:
        video["progress"] = 100


def delete_video(call: Call) -> Reply:
    """Forget a video.

    Raises:
        Refusal: there is no such video.
    """
    if not call.store.videos.drop(call.params["id"]):
        raise unknown("video", call.params["id"])
    return Reply(orjson.dumps({"id": call.params["id"], "object": "video.deleted", "deleted": True}))


ROUTES = (
    Route("POST", "/videos", create_video, OPENAI),
    Route("GET", "/videos/{id}", retrieve_video, OPENAI),
    Route("DELETE", "/videos/{id}", delete_video, OPENAI),
)
