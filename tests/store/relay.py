"""A TLS front for the real store, which the bundled server does not have."""

import asyncio
import ssl
from collections.abc import Callable
from typing import Any

from shared.store.address import parse_address
from tests.certificates import Certificate


async def relay_tls(listen: Callable[..., Any], store_url: str, certificate: Certificate) -> int:
    """Start it; returns the port on 127.0.0.1."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.file, certificate.key)
    path = parse_address(store_url).path

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_unix_connection(path)
        await asyncio.gather(_copy(reader, inner_writer), _copy(inner_reader, writer))

    return await listen(pass_on, ssl=context)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except (ConnectionError, ssl.SSLError):
        pass
    finally:
        writer.close()
