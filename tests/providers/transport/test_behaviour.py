"""Behaviour of every httpx transport, tested on httpx's own and on ours."""

import asyncio
import gzip

import httpx
import pytest

from tests.providers.transport.scripted import (
    Peer,
    Upstream,
    answer,
    answering,
    once,
    wait_until,
)

MB = 1024 * 1024
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


async def test_plain_answer_with_status_reason_and_headers(either_client: httpx.AsyncClient) -> None:
    data = answer(b'{"a":1}', "201 Made It", ["Content-Type: application/json", "X-Two: a", "X-Two: b"])
    async with Upstream(answering(data)) as upstream:
        response = await either_client.post(upstream.url + "/v1/x?y=%20z", json={"q": 1}, headers={"x-a": "b"})
    assert (response.status_code, response.reason_phrase, response.json()) == (201, "Made It", {"a": 1})
    assert response.http_version == "HTTP/1.1"
    assert response.headers.get_list("x-two") == ["a", "b"]
    request = upstream.requests[0]
    assert request.line == b"POST /v1/x?y=%20z HTTP/1.1"
    assert request.body == b'{"q":1}'
    assert request.headers[b"x-a"] == b"b"
    assert request.headers[b"host"] == f"127.0.0.1:{upstream.port}".encode()
    assert request.headers[b"accept-encoding"] == either_client.headers["accept-encoding"].encode()


async def test_answer_that_arrives_byte_by_byte(either_client: httpx.AsyncClient) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.drip(answer(b"slowly", headers=["Server: drip", "X-Empty:", "X-After: here"]))

    async with Upstream(script) as upstream:
        response = await either_client.get(upstream.url)
    assert response.content == b"slowly"
    assert (response.headers["x-empty"], response.headers["x-after"]) == ("", "here")


@pytest.mark.parametrize(
    "interim", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"]
)
async def test_interim_responses_are_skipped(either_client: httpx.AsyncClient, interim: bytes) -> None:
    async with Upstream(answering(interim * 2 + answer(b"final", headers=["X-A: 1"]))) as upstream:
        response = await either_client.get(upstream.url)
        again = await either_client.get(upstream.url)
    assert (response.status_code, response.reason_phrase, response.content) == (200, "OK", b"final")
    assert "link" not in response.headers
    assert again.content == b"final"
    assert len(upstream.peers) == 1


async def test_chunked_body_with_extensions_and_trailers(either_client: httpx.AsyncClient) -> None:
    data = CHUNKED + b"5;a=b\r\nhello\r\n1\r\n \r\n5\r\nworld\r\n0\r\nX-Sum: 7\r\nX-More: 8\r\n\r\n"
    async with Upstream(answering(data)) as upstream:
        bodies = [(await either_client.get(upstream.url)).content for _ in range(2)]
    assert bodies == [b"hello world"] * 2
    assert len(upstream.peers) == 1


async def test_body_that_ends_with_the_connection(either_client: httpx.AsyncClient) -> None:
    async with Upstream(once(b"HTTP/1.1 200 OK\r\n\r\nuntil the end")) as upstream:
        bodies = [(await either_client.get(upstream.url)).content for _ in range(2)]
    assert bodies == [b"until the end"] * 2
    assert len(upstream.peers) == 2


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
async def test_statuses_without_a_body(either_client: httpx.AsyncClient, status: str) -> None:
    async with Upstream(answering(f"HTTP/1.1 {status}\r\nETag: x\r\n\r\n".encode())) as upstream:
        for _ in range(2):
            response = await either_client.get(upstream.url)
            assert (response.content, response.headers["etag"]) == (b"", "x")
    assert len(upstream.peers) == 1


@pytest.mark.parametrize("framing", [b"Content-Length: 1000", b"Transfer-Encoding: chunked"])
async def test_head_has_no_body_whatever_its_headers_say(either_client: httpx.AsyncClient, framing: bytes) -> None:
    async with Upstream(answering(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n")) as upstream:
        for _ in range(2):
            assert (await either_client.head(upstream.url)).content == b""
    assert len(upstream.peers) == 1


async def test_redirects_are_left_to_the_client(either_client: httpx.AsyncClient) -> None:
    async with Upstream(answering(answer(b"", "307 Temporary Redirect", ["Location: /elsewhere"]))) as upstream:
        response = await either_client.post(upstream.url, content=b"x")
    assert (response.status_code, response.headers["location"]) == (307, "/elsewhere")
    assert len(upstream.requests) == 1


async def test_coded_bodies_pass_through_and_httpx_decodes_them(either_client: httpx.AsyncClient) -> None:
    coded = gzip.compress(b"much " * 100)
    async with Upstream(answering(answer(coded, headers=["Content-Encoding: gzip"]))) as upstream:
        response = await either_client.get(upstream.url)
        async with either_client.stream("GET", upstream.url) as stream:
            raw = b"".join([piece async for piece in stream.aiter_raw()])
    assert response.content == b"much " * 100
    assert raw == coded


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\ncut",
        CHUNKED + b"5\r\nhello\r\n",
        CHUNKED + b"5\r\nhel",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"",
    ],
    ids=["length", "between chunks", "within a chunk", "head", "nothing"],
)
async def test_answers_cut_short_are_errors(either_client: httpx.AsyncClient, data: bytes) -> None:
    async with Upstream(once(data)) as upstream:
        with pytest.raises(httpx.RemoteProtocolError) as caught:
            await either_client.get(upstream.url)
    assert caught.value.request.url == upstream.url


async def test_reset_within_the_body_is_an_error(either_client: httpx.AsyncClient) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\nbegun")
        await read.wait()
        peer.reset()

    read = asyncio.Event()
    async with Upstream(script) as upstream, either_client.stream("GET", upstream.url) as response:
        pieces = response.aiter_raw()
        assert await anext(pieces) == b"begun"
        read.set()
        with pytest.raises(httpx.ReadError):
            await anext(pieces)


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nBad Name: x\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\0c\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        CHUNKED + b"zz\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 300_000 + b"\r\nContent-Length: 0\r\n\r\n",
    ],
    ids=["other protocol", "name", "value", "negative", "two lengths", "chunk size", "huge header"],
)
async def test_malformed_answers_are_errors(either_client: httpx.AsyncClient, data: bytes) -> None:
    async with Upstream(once(data)) as upstream:
        with pytest.raises(httpx.RemoteProtocolError):
            await either_client.get(upstream.url)


async def test_connections_are_kept_and_used_again(either_client: httpx.AsyncClient) -> None:
    async with Upstream(answering(answer())) as upstream:
        for _ in range(5):
            await either_client.get(upstream.url)
        assert len(upstream.peers) == 1


async def test_connection_close_is_honoured(either_client: httpx.AsyncClient) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer(headers=["Connection: close"]))
        await peer.hang_up_seen()

    async with Upstream(script) as upstream:
        for _ in range(2):
            assert (await either_client.get(upstream.url)).content == b"ok"
        await wait_until(lambda: all(peer.gone.is_set() for peer in upstream.peers))
    assert len(upstream.peers) == 2


async def test_http_1_0_connections_are_not_kept(either_client: httpx.AsyncClient) -> None:
    async with Upstream(answering(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok")) as upstream:
        for _ in range(2):
            assert (await either_client.get(upstream.url)).content == b"ok"
    assert len(upstream.peers) == 2


async def test_connection_that_the_server_closed_while_idle_is_replaced(either_client: httpx.AsyncClient) -> None:
    async with Upstream(once(answer())) as upstream:
        for count in range(1, 4):
            assert (await either_client.get(upstream.url)).content == b"ok"
            await wait_until(lambda count=count: upstream.peers[count - 1].writer.is_closing())
    assert len(upstream.peers) == 3
