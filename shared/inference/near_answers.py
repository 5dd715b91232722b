"""Joins near matches with calls: finds the entry of a near request, and checks that its answer is right here too."""

from collections.abc import Mapping
from typing import Any

from shared.cache.near import near_question
from shared.cache.store import CacheStore, Found, Slot
from shared.cache.use import CacheUse
from shared.inference.call import Call
from shared.settings.cache import CacheSettings


class NearAnswers:
    """Finds answers to near requests.

    Args:
        store: The stored answers.
        settings: How similar they must be.
    """

    def __init__(self, store: CacheStore, settings: CacheSettings) -> None:
        self._store = store
        self._settings = settings

    def prepare(self, call: Call, use: CacheUse, slot: Slot, fields: Mapping[str, Any]) -> Slot:
        """Return the slot with the key of the newest entry that may be near; the same slot: there can be none.

        Args:
            call: The call.
            use: How it uses the cache; its question is noted there.
            slot: Where its own answer is stored.
            fields: What the answer depends on.
        """
        if not use.policy.near:
            return slot
        question = near_question(
            call.request_type, fields, scope=slot.scope, target=slot.model, partition=slot.partition
        )
        if question is None:
            return slot
        use.question = question
        return slot._replace(near=question.key)

    async def find(self, use: CacheUse, found: Found) -> Found:
        """Return the answer of a near request, if nothing else was found and there is one; else what was found.

        Args:
            use: How the call uses the cache; how similar the answer's request is, is noted there.
            found: Of the look-up.
        """
        slot, question = use.slot, use.question
        if found.entry is not None or not found.near_id or slot is None or question is None:
            return found
        if found.near_id == slot.id or not found.near_id.startswith(f"{slot.scope}-"):
            return found
        other = slot._replace(id=found.near_id, near="")
        near = await self._store.found(other, self._store.begin(other))
        if near.entry is None or not near.is_fresh(use.policy.max_age_s):
            return found
        threshold = max(self._settings.near.similarity, use.policy.threshold)
        similarity = question.matches(near.entry.text)
        if similarity is None or similarity < threshold:
            return found
        use.kind, use.similarity, use.threshold = "near", similarity, threshold
        return near
