"""TLS in front of a real server, as managed stores and stunnel have it. The wheel's Valkey is built without TLS.

Rule: bytes pass unchanged, both ways. The proxy runs in a thread with its own loop. So a gateway in another process can
use it, and so can a test that blocks.
"""

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

PIECE = 65_536


@contextmanager
def tls_in_front(path: str, trust: ssl.SSLContext) -> Iterator[int]:
    """Serve TLS for the server behind a unix socket. Yields the port."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def serve() -> asyncio.Server:
        return await asyncio.start_server(pass_on, "127.0.0.1", 0, ssl=trust)

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_unix_connection(path)
        await asyncio.gather(copy(reader, server_writer), copy(server_reader, writer))

    async def end(server: asyncio.Server) -> None:
        server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    server = asyncio.run_coroutine_threadsafe(serve(), loop).result()
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        asyncio.run_coroutine_threadsafe(end(server), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Forward all bytes until one side ends."""
    with suppress(OSError):  # the other side has disconnected
        while piece := await reader.read(PIECE):
            writer.write(piece)
            await writer.drain()
        writer.close()
