"""Tags, ids and the number of shards."""

import uuid
import zlib
from collections import Counter

import pytest

from shared.checks.encryption import check_encryption
from shared.checks.shards import check_shards_of, other_shards
from shared.governance.keyspace import BOOKINGS
from shared.jobs.shard_ids import mint_job_id, shard_of, shard_of_id
from shared.settings.model import Settings
from shared.store.commands import RedisCommands
from shared.store.encryption import BodyCipher
from shared.store.multiplexed import MultiplexedClient
from shared.store.shard_tags import MAX_SHARDS, cluster_tag, shard_tag
from shared.store.shards import SHARDS_KEY, ShardsChanged, check_shards, read_shards
from shared.surfaces.response_ids import is_minted, is_ours, mint_response_id

SLOTS = 16_384
# Written out: ids of tests have to be the same in every process.
NINTH = ("099f3bb0-8852-815c-a0e9-15ccdce4a321", "resp_092981bf0eb38b1f0daa7e8daa7d5b20e4d4e68fbbc565da")


@pytest.mark.parametrize("primaries", [2, 3, 4, 6, 8])
@pytest.mark.parametrize("shards", [12, 16, 24, 48, MAX_SHARDS])
def test_any_number_of_shards_lies_evenly_over_the_primaries(primaries: int, shards: int) -> None:
    loads = Counter(cluster_tag(shard).slot * primaries // SLOTS for shard in range(shards))
    assert max(loads.values()) - min(loads[at] for at in range(primaries)) <= 1


def test_as_many_shards_as_primaries_are_one_on_each() -> None:
    for number in (2, 3, 4, 6, 8):
        assert len({cluster_tag(shard).slot * number // SLOTS for shard in range(number)}) == number


def test_shard_0_has_the_names_of_a_store_without_shards() -> None:
    assert shard_tag(0, is_cluster=False) is None
    assert cluster_tag(0).name("finops:job:a") == b"finops:{f0d}:job:a"
    tag = shard_tag(3, is_cluster=False)
    assert tag is shard_tag(3, is_cluster=True)
    assert tag is not None
    assert tag.plain(tag.name("finops:job:a")) == b"finops:job:a"
    assert tag.name("finops:job:a") == b"finops:{s3x150}:job:a"


@pytest.mark.parametrize("shard", [0, 1, 5, 63])
def test_an_id_names_its_shard(shard: int) -> None:
    job_id, response_id = mint_job_id(shard), mint_response_id(shard)
    assert uuid.UUID(job_id).version == (8 if shard else 4)
    assert uuid.UUID(job_id).variant == uuid.RFC_4122
    assert (shard_of_id(job_id, 64), shard_of_id(response_id, 64)) == (shard, shard)
    assert is_ours(job_id)
    assert is_minted(response_id)
    assert is_ours(response_id)
    assert shard_of_id(job_id, 1) == 0


@pytest.mark.parametrize(
    "text",
    [
        "", "a", f"-1{'0' * 6}-0000-8000-8000-{'0' * 12}",
        str(uuid.UUID(int=7, version=4)), "batch_1-2", *NINTH, "resp_" + "0" * 48,
        "zz790395-0000-8000-8000-000000000000", "resp_" + "z" * 48, "resp_é" + "0" * 47,
        "-f790395-0000-8000-8000-000000000000",
    ],
)  # fmt: skip
def test_an_id_that_names_no_shard_of_the_store_is_one_of_shard_0(text: str) -> None:
    assert shard_of_id(text, 4) == 0


@pytest.mark.parametrize("text", NINTH)
def test_an_id_of_a_store_with_more_shards_names_its_own_there(text: str) -> None:
    assert shard_of_id(text, 64) == 9


@pytest.mark.parametrize("letters", ["zz", "-f"])
def test_a_checksum_over_other_letters_is_no_shard(letters: str) -> None:
    digits = letters + "0" * 38
    forged = f"resp_{digits}{zlib.crc32(b'finops:shard' + digits.encode()):08x}"
    assert shard_of_id(forged, 64) == 0


def test_owners_spread_evenly_and_keep_their_shard() -> None:
    found = Counter(shard_of(f"key_{n}", 4) for n in range(2_000))
    assert min(found.values()) > 400
    assert {shard_of("key_1", 4) for _ in range(3)} == {shard_of("key_1", 4)}
    moved = sum(shard_of(f"key_{n}", 4) != shard_of(f"key_{n}", 5) for n in range(2_000))
    assert moved < 600


async def test_the_number_is_written_once_and_another_is_refused(commands: RedisCommands) -> None:
    await check_shards(commands, 1)
    assert await commands.execute("EXISTS", SHARDS_KEY) == 0
    await check_shards(commands, 4)
    await check_shards(commands, 4)
    assert await read_shards(commands) == 4
    for other in (1, 2, 8):
        with pytest.raises(ShardsChanged, match=r"Set \[redis\] shards = 4"):
            await check_shards(commands, other)


async def test_doctor_reports_the_number_and_what_waits(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    commands, other = MultiplexedClient(redis_url), MultiplexedClient(redis_url, shard=2)
    several = Settings.model_validate({"redis": {"shards": 3}})
    async with other_shards(redis_url, several) as others:
        assert await check_shards_of(commands, others, Settings()) == []
        (found,) = await check_shards_of(commands, others, several)
        assert (found.level, "from the next start on" in found.message) == ("OK", True)
        await check_shards(commands, 3)
        (found,) = await check_shards_of(commands, others, several)
        assert (found.level, found.message) == ("OK", "3; 0 bookings wait for limits and ledger")
        await other.execute("XADD", BOOKINGS, "*", "keep", "a", "1", "")
        monkeypatch.setattr("shared.checks.shards.MANY", 1)
        (found,) = await check_shards_of(commands, others, several)
        assert (found.level, found.message) == ("WARN", "1 bookings of shard 2 are not in limits and ledger yet")
        (found,) = await check_shards_of(commands, others, Settings())
        assert (found.level, found.fix) == ("FAIL", "set [redis] shards = 3")
    sealed = BodyCipher((bytes(32),)).seal(b"body", "jobs/a")
    await other.execute("SET", "finops:job:a:payload", sealed)
    (found,) = await check_encryption(commands, several, [other])
    assert (found.level, "1 stored bodies are sealed with the key" in found.message) == ("FAIL", True)
    await commands.aclose()
    await other.aclose()
