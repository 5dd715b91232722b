"""Every Redis key of the cache: their table, and the functions that build their names.

An entry's id is ``<scope>-<request>``: both are hashes, as what they stand for is a caller's.
"""

from shared.store.keyspace import Key

KEYS: tuple[Key, ...] = (
    Key("finops:cache:e:<scope>-<request>", "string", "its time to live", "a stored answer: a line of JSON, its body"),
    Key("finops:cache:purged:<scope>:<cache key>:<model>", "string", "38 days", "nothing that is older is served"),
    Key(
        "finops:cache:ages", "sorted set", "permanent, as many as there are entries", "entries by the end of their life"
    ),
    Key("finops:cache:sizes", "hash", "permanent, as many as there are entries", "bytes of each entry, and of all"),
    Key("finops:cache:n:<scope>-<request>-<words>", "string", "its entry's time to live", "the newest entry with them"),
    Key("finops:cache:l:<scope>-<request>", "string", "10 s, renewed", "which process calls, with collapse = all"),
    Key("finops:cache:w:<scope>-<request>", "string", "3 s, renewed", "that another process waits for the answer"),
    Key("finops:cache:v:<scope>-<partition>", "vector set", "its entries' time to live, renewed", "questions' vectors"),
    Key("finops:cache:v:<scope>-<partition>:<entry>", "hash", "its entry's time to live", "one vector, for FT.SEARCH"),
    Key("finops:cache:q:<scope>-<partition>", "string", "1 hour", "a question's vector, from its submit for its run"),
    Key("finops:cache:vector-ages", "sorted set", "38 days, renewed", "vectors by the end of their life"),
    Key("finops:cache:audit:<scope>-<family>", "hash", "30 days, renewed", "how often semantic matches were right"),
    Key("finops:cache:counts:<day>", "hash", "35 days", "look-ups and stored answers of a day, by result"),
)

AGES = "finops:cache:ages"
SIZES = "finops:cache:sizes"
ENTRIES = "finops:cache:e:"
VECTORS = "finops:cache:v:"
QUESTIONS = "finops:cache:q:"
VECTORS_AND_QUESTIONS = "finops:cache:[vq]:"
"""The beginning of a pattern."""
VECTOR_AGES = "finops:cache:vector-ages"
AUDITS = "finops:cache:audit:"
ANY = "*"


def entry(entry_id: str) -> str:
    """Return the key of an entry."""
    return f"{ENTRIES}{entry_id}"


def near(scope: str, request: str, words: str) -> str:
    """Return the key of the newest entry whose request has these words, and is else equal."""
    return f"finops:cache:n:{scope}-{request}-{words}"


def lock(entry_id: str) -> str:
    """Return the key of the lock of the process that calls for an entry."""
    return f"finops:cache:l:{entry_id}"


def awaited(entry_id: str) -> str:
    """Return the key that says that another process waits for an entry."""
    return f"finops:cache:w:{entry_id}"


def purge_mark(scope: str = ANY, partition: str = ANY, model: str = ANY) -> str:
    """Return the key of the time before which nothing is served; ``*`` stands for everything."""
    return f"finops:cache:purged:{scope}:{partition}:{model}"


def counts(day: str) -> str:
    """Return the key of a day's counts, ``2026-11-29``."""
    return f"finops:cache:counts:{day}"


def vectors(partition: str) -> str:
    """Return the key of a partition's vector set."""
    return f"{VECTORS}{partition}"


def vector(partition: str, entry_id: str) -> str:
    """Return the key of one vector, where a search index finds it."""
    return f"{VECTORS}{partition}:{entry_id}"


def question(partition: str) -> str:
    """Return the key of a question's vector, which its job's run takes."""
    return f"{QUESTIONS}{partition}"


def vector_index(dimensions: int) -> str:
    """Return the name of the search index of vectors with so many dimensions."""
    return f"finops:cache:vectors:{dimensions}"


def audit(family: str) -> str:
    """Return the key of a family's evidence, ``<scope>-<family>``."""
    return f"{AUDITS}{family}"
