"""Names of keys on a cluster: tagged on their way out wherever a command has keys, and nowhere else."""

import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from redis.crc import key_slot

import shared
from shared.store.hash_tag import Argument, HashTag
from shared.store.scripts import Script

LUA = sorted(Path(shared.__path__[0]).rglob("*.lua"))
T = b"finops:{f0d}:"


@pytest.mark.parametrize(
    ("plain", "name"),
    [
        ("finops:job:1", b"finops:{f0d}:job:1"),
        (b"finops:caller:{x}", b"finops:{f0d}:caller:{x}"),
        ("arq:queue:high", b"arq:{f0d}:queue:high"),
        ("arq:job:1", b"arq:job:{f0d}1"),
        ("arq:in-progress:1", b"arq:in-progress:{f0d}1"),
        ("arq:result:1", b"arq:result:{f0d}1"),
    ],
)
def test_a_key_gets_the_tag_once_and_loses_it_again(plain: str | bytes, name: bytes) -> None:
    tag = HashTag()
    assert tag.name(plain) == tag.name(name) == name
    assert tag.plain(name) == tag.plain(tag.plain(name)) == (plain if isinstance(plain, bytes) else plain.encode())
    assert key_slot(name) == tag.slot


def test_a_name_that_is_not_ours_stays() -> None:
    assert HashTag().name("other:1") == HashTag().plain(b"other:1") == b"other:1"


@pytest.mark.parametrize(
    ("command", "sent"),
    [
        (("get", "finops:a"), [b"GET", T + b"a"]),
        (("SET", "finops:a", "finops:b"), [b"SET", T + b"a", "finops:b"]),
        (("DEL", "finops:a", b"finops:b"), [b"DEL", T + b"a", T + b"b"]),
        (("BLPOP", "finops:a", "finops:b", 0.5), [b"BLPOP", T + b"a", T + b"b", 0.5]),
        (("XGROUP CREATE", "finops:a", "g"), [b"XGROUP", b"CREATE", T + b"a", "g"]),
        (("XREAD", "STREAMS", "finops:a", "finops:b", 0, 0), [b"XREAD", "STREAMS", T + b"a", T + b"b", 0, 0]),
        (("ZINTERSTORE", "finops:a", 1, "finops:b", "x"), [b"ZINTERSTORE", T + b"a", 1, T + b"b", "x"]),
        (("ZINTER", 1, "finops:b", "finops:x"), [b"ZINTER", 1, T + b"b", "finops:x"]),
        (("SUBSCRIBE", "finops:a", "finops:b"), [b"SUBSCRIBE", T + b"a", T + b"b"]),
        (("PUBLISH", "finops:a", "finops:b"), [b"PUBLISH", T + b"a", "finops:b"]),
        (("PUBSUB", "NUMSUB", "finops:a"), [b"PUBSUB", "NUMSUB", T + b"a"]),
        (("SCAN", "0", "MATCH", "finops:a*"), [b"SCAN", "0", b"MATCH", T + b"a*"]),
        (("CLIENT", "SETNAME", "finops:a"), [b"CLIENT", "SETNAME", "finops:a"]),
        (("PING",), [b"PING"]),
        (("HGET", 7), [b"HGET", 7]),
    ],
)
def test_the_keys_of_a_command_get_the_tag_and_nothing_else(
    command: Sequence[Argument], sent: Sequence[Argument]
) -> None:
    assert HashTag().rewrite(command) == sent


def test_a_script_is_known_by_the_hash_of_its_tagged_source_once_it_was_loaded() -> None:
    tag, script = HashTag(), Script("a", "return redis.call('GET', 'finops:a') .. ARGV[1]")
    tagged = Script("a", script.source.replace("finops:", "finops:{f0d}:"))
    guards = [T + b"guard:1", T + b"guard:2"]
    unknown = tag.rewrite(("EVALSHA", script.sha1, 0, "x"))
    assert unknown[1] not in {script.sha1.encode(), tagged.sha1.encode()}
    assert tag.rewrite(("SCRIPT", "LOAD", script.source)) == [b"SCRIPT", "LOAD", tagged.source.encode()]
    known = tag.rewrite(("EVALSHA", script.sha1, 1, "finops:k", "finops:v"))
    assert known == [b"EVALSHA", tagged.sha1.encode(), 3, T + b"k", *guards, "finops:v"]
    assert tag.rewrite(("EVAL", script.source, 0)) == [b"EVAL", tagged.source.encode(), 2, *guards]
    assert tag.rewrite(("SCRIPT", "FLUSH")) == [b"SCRIPT", "FLUSH"]


def test_listed_names_come_plain() -> None:
    assert HashTag().names([b"7", [T + b"a", b"other", 5]]) == [b"7", [b"finops:a", b"other", 5]]


def test_messages_come_with_plain_channels() -> None:
    tag = HashTag()
    assert tag.reply([b"message", T + b"a", b"finops:{f0d}:x"]) == [b"message", b"finops:a", b"finops:{f0d}:x"]
    assert tag.reply([b"subscribe", None, 0]) == [b"subscribe", None, 0]
    assert tag.reply([b"field", T + b"a", b"x"]) == [b"field", T + b"a", b"x"]
    assert tag.reply(b"message") == b"message"


@pytest.mark.parametrize("path", LUA, ids=lambda path: path.name)
def test_no_script_takes_the_name_of_a_key_as_it_was_passed(path: Path) -> None:
    """Names in arguments have no tag: a script begins them with ``finops:`` itself, which the tag follows."""
    code = re.sub(r"--[^\n]*", "", path.read_text())
    assert re.findall(r"call\('\w+', *ARGV\[", code) == []
    assert re.findall(r"\"(?:finops|arq):", code) == []
    for names, values in re.findall(r"local ([\w, ]+) = ([^\n]+)", code):
        for name, value in zip(names.split(", "), values.split(", "), strict=False):
            if re.fullmatch(r"ARGV\[\d+\]", value):
                assert not re.findall(rf"call\('\w+', {name}[,)]", code), name
