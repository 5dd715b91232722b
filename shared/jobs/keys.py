"""The Redis keys of the job engine: their table, and functions that build their names.

The scripts in ``lua/`` build the same names (``job_keys.lua``); a test compares the two, and another rejects keys that
never expire and are not listed here as permanent.
"""

import hashlib
import re

from shared.jobs.model import Priority, State
from shared.store.keyspace import Key

_JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,80}\Z")


_LIVE = "30 days while live, refreshed at each change; then the result's lifetime"

KEYS: tuple[Key, ...] = (
    Key("finops:job:<id>", "hash", _LIVE, "the record: state, lease, attempts, times, result"),
    Key("finops:job:<id>:payload", "string", "until the outcome; of a failed job as the record", "the request body"),
    Key("finops:job:<id>:result", "string", "as the record", "a result of more than 256 KiB"),
    Key("finops:job:<id>:part:<token>", "string", "10 minutes, until it is taken", "a large body on its way"),
    Key("finops:job:<id>:events", "list", _LIVE + "; 10,000 entries", "status changes and output deltas"),
    Key("finops:job:<id>:signal", "channel", "-", "notifies of changes of the record or the event log"),
    Key("finops:cancel", "channel", "-", "ids of running jobs that were cancelled, for the workers"),
    Key("arq:job:<id>", "string", "until the outcome", "arq's own entry, in JSON"),
    Key(
        "arq:in-progress:<id>", "string", "lease + 60 s, renewed", "arq's own mark of a running job: the fencing token"
    ),
    Key("arq:result:<id>", "string", "as the record", "arq's own result, in JSON, without bodies"),
    Key("arq:queue", "sorted set", "permanent, empties itself", "waiting jobs of priority normal, by when claimable"),
    Key("arq:queue:high", "sorted set", "permanent, empties itself", "waiting jobs of priority high"),
    Key("arq:queue:low", "sorted set", "permanent, empties itself", "waiting jobs of priority low"),
    Key("arq:queue:health-check", "string", "a few seconds, renewed", "what `arq --check` reads"),
    Key("arq:queue:health-check:<worker>", "string", "a few seconds, renewed", "one worker's heartbeat"),
    Key("finops:jobs:capacity:<time>", "hash", "70 s", "slots of each worker, number and duration of runs, for 10 s"),
    Key(
        "finops:lane:<priority>:callers",
        "sorted set",
        "permanent, empties itself",
        "callers with ready jobs, by fair tag",
    ),
    Key(
        "finops:lane:<priority>:ready:<caller>",
        "sorted set",
        "permanent, empties itself",
        "a caller's ready jobs, in order",
    ),
    Key("finops:workers", "hash", "1 minute, renewed", "running workers: version, concurrency, running jobs"),
    Key("finops:wake:<priority>", "list", "permanent, 64 tokens", "wakes an idle worker"),
    Key("finops:caller:<caller>", "hash", "30 days, a day without jobs", "fair tag, running and waiting jobs, limits"),
    Key("finops:jobs:clock", "hash", "permanent, one", "virtual time, sequence and fencing numbers, heartbeat, speed"),
    Key("finops:jobs:leases", "sorted set", "permanent, empties itself", "running jobs, by the end of their lease"),
    Key("finops:jobs:deferred", "sorted set", "permanent, empties itself", "jobs with a later start"),
    Key("finops:jobs:parked:<limit>", "sorted set", "31 days, refreshed", "jobs that met a spent limit of this kind"),
    Key("finops:jobs:deadlines", "sorted set", "permanent, empties itself", "waiting jobs with a deadline"),
    Key("finops:jobs:waiting", "sorted set", "permanent, empties itself", "callers, by waiting jobs"),
    Key("finops:jobs:dead", "sorted set", "permanent, 10,000 ids", "the dead-letter list"),
    Key("finops:jobs:all", "sorted set", "permanent, 100,000 ids", "jobs by age, for administrators"),
    Key("finops:jobs:live", "sorted set", "permanent, empties itself", "jobs that have not ended, by creation"),
    Key("finops:jobs:running", "sorted set", "1 minute", "running jobs by creation, made for a list"),
    Key("finops:jobs:completed", "sorted set", "permanent, 100,000 ids", "completed jobs, by creation"),
    Key("finops:jobs:failed", "sorted set", "permanent, 100,000 ids", "failed jobs, by creation"),
    Key("finops:jobs:cancelled", "sorted set", "permanent, 100,000 ids", "cancelled jobs, by creation"),
    Key(
        "finops:jobs:index:<number>",
        "sorted set",
        "permanent, 4096 of them, 100,000 ids each",
        "jobs by creation whose model, provider, label, team, ... has this hash",
    ),
    Key("finops:blobs", "sorted set", "permanent, empties itself", "objects of bodies, by when to look at them"),
    Key(
        "finops:jobs:code:<hash>",
        "sorted set",
        "permanent, 256 of them, 100,000 ids each",
        "jobs by creation whose error code has this hash",
    ),
    Key("finops:jobs:costs", "sorted set", "permanent, 100,000 ids", "jobs that have ended, by their cost"),
    Key("finops:jobs:cost-range", "sorted set", "-, within one script", "jobs of some costs by creation"),
    Key("finops:jobs:pauses", "hash", "permanent, 100 of them", "the pauses of the queue, by scope"),
    Key("finops:jobs:set-aside", "sorted set", "permanent, empties itself", "jobs that a pause kept from a claim"),
    Key("finops:jobs:coming-back", "sorted set", "permanent, empties itself", "such jobs after their pause has ended"),
    Key("finops:owner:<owner>:jobs", "sorted set", "30 days, refreshed; 10,000 ids", "an owner's jobs by age"),
    Key("finops:group:<group>:ended", "list", "30 days, refreshed", "ids of a group's ended jobs, until they are read"),
    Key(
        "finops:stored:<caller>", "hash", "60 days, refreshed", "bytes that a caller keeps, by the hour they expire in"
    ),
    Key(
        "finops:stored:<caller>:responses",
        "hash",
        "60 days, refreshed",
        "bytes of the responses that a caller keeps, by the day they expire in",
    ),
    Key("finops:operation:<id>", "hash", "30 days, 7 after its end", "a bulk operation and its progress"),
    Key(
        "finops:operation:<id>:jobs",
        "sorted set",
        "30 days, refreshed; until it ends",
        "jobs that a bulk operation has not looked at yet, by creation",
    ),
    Key("finops:operations:open", "sorted set", "permanent, 1,000 ids", "open bulk operations, by when a turn is due"),
    Key("finops:owner:<owner>:operations", "sorted set", "30 days; 10 ids", "a maker's open bulk operations"),
    Key("finops:idem:<scope>:<key>", "hash", "24 hours", "the job that an idempotency key made"),
    Key("finops:dedupe:<request>", "string", "2 minutes", "the job that a submit made, for an SDK's blind retries"),
    Key("finops:webhooks:outbox", "stream", "permanent, 100,000 entries", "outcomes to deliver to webhooks"),
)

CLOCK = "finops:jobs:clock"
WORKERS = "finops:workers"
LEASES = "finops:jobs:leases"
DEFERRED = "finops:jobs:deferred"
DEADLINES = "finops:jobs:deadlines"
WAITING = "finops:jobs:waiting"
DEAD = "finops:jobs:dead"
ALL_JOBS = "finops:jobs:all"
LIVE = "finops:jobs:live"
COSTS = "finops:jobs:costs"
RUNNING = "finops:jobs:running"
PAUSES = "finops:jobs:pauses"
OPEN_OPERATIONS = "finops:operations:open"
BLOBS = "finops:blobs"
CANCEL_CHANNEL = "finops:cancel"
WEBHOOK_OUTBOX = "finops:webhooks:outbox"
HEALTH = "arq:queue:health-check"


def parked(kind: str) -> str:
    """Jobs that met a spent limit of this kind, by when."""
    return f"finops:jobs:parked:{kind}"


ARQ_QUEUES = {Priority.HIGH: "arq:queue:high", Priority.NORMAL: "arq:queue", Priority.LOW: "arq:queue:low"}


def is_job_id(text: str) -> bool:
    """Tell whether a text is a valid job id; anything else must not become part of a key."""
    return _JOB_ID.match(text) is not None


def job(job_id: str) -> str:
    """The record of a job."""
    return f"finops:job:{job_id}"


def payload(job_id: str) -> str:
    """The request body of a job."""
    return f"finops:job:{job_id}:payload"


def result(job_id: str) -> str:
    """The result of a job, if it is too large for the record."""
    return f"finops:job:{job_id}:result"


def part(job_id: str, token: str) -> str:
    """A large body of a job until a script takes it; ``token``: of the run's lease, or ``new`` of a submit."""
    return f"finops:job:{job_id}:part:{token.replace(':', '.')}"


def events(job_id: str) -> str:
    """The event log of a job."""
    return f"finops:job:{job_id}:events"


def signal(job_id: str) -> str:
    """The channel with a job's state changes."""
    return f"finops:job:{job_id}:signal"


def job_of_signal(channel: str) -> str:
    """Return the job id in a channel's name."""
    return channel.removeprefix("finops:job:").removesuffix(":signal")


def caller(name: str) -> str:
    """The queue state of a caller: fair tag, counts, limits."""
    return f"finops:caller:{name}"


def priority_callers(priority: Priority) -> str:
    """Callers that compete for workers of a priority."""
    return f"finops:lane:{priority}:callers"


def priority_ready(priority: Priority, name: str) -> str:
    """A caller's ready jobs of a priority."""
    return f"finops:lane:{priority}:ready:{name}"


def wake(priority: Priority) -> str:
    """The list of tokens that wake idle workers of a priority."""
    return f"finops:wake:{priority}"


def owner_jobs(owner: str) -> str:
    """An owner's jobs by age."""
    return f"finops:owner:{owner}:jobs"


def ended_jobs(state: State) -> str:
    """Jobs that have ended in a state, by creation."""
    return f"finops:jobs:{state}"


def keeps_cursors(set_key: str) -> bool:
    """Tell whether a set is a list whose expired jobs still serve as cursors for a day."""
    return set_key == ALL_JOBS or set_key.startswith("finops:owner:")


def index(number: int) -> str:
    """One of the index sets of lists, by its number (``labels.index_of``)."""
    return f"finops:jobs:index:{number}"


def code_jobs(code: str) -> str:
    """Jobs that ended with an error code, and with others of the same hash."""
    number = 0
    for byte in code.encode(errors="replace")[:64]:
        number = (number * 31 + byte) % 256
    return f"finops:jobs:code:{number}"


def group_ended(group: str) -> str:
    """The ids of a group's jobs that have ended, in that order."""
    return f"finops:group:{group}:ended"


def operation(operation_id: str) -> str:
    """The record of a bulk operation."""
    return f"finops:operation:{operation_id}"


def operation_jobs(operation_id: str) -> str:
    """The jobs that a bulk operation has not looked at yet, by creation."""
    return f"finops:operation:{operation_id}:jobs"


def idempotency(scope: str, key: str) -> str:
    """The entry of an idempotency key; scope and key are hashed, whatever they hold."""
    return f"finops:idem:{_short(scope)}:{_short(key)}"


def dedupe(scope: str, fingerprint: str) -> str:
    """The entry by which a blind retry finds the first attempt."""
    return f"finops:dedupe:{_short(scope + chr(0) + fingerprint)}"


def worker_health(worker_id: str) -> str:
    """One worker's heartbeat."""
    return f"{HEALTH}:{worker_id}"


def capacity(bucket: int) -> str:
    """What workers reported in ten seconds, by their number since 1970."""
    return f"finops:jobs:capacity:{bucket}"


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:40]
