"""The socket that the service listens on."""

from __future__ import annotations

import asyncio
import socket

from pipeline.serve.server import listen


async def test_answers_do_not_wait_for_the_client_to_acknowledge_their_head() -> None:
    """Head and body are written apart: held together by Nagle's algorithm, every answer would take 40 ms longer."""
    told: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        told.set_result(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    with listen("127.0.0.1", 0) as listening:
        async with await asyncio.start_server(answer, sock=listening):
            _, writer = await asyncio.open_connection(*listening.getsockname())
            assert await asyncio.wait_for(told, 10) != 0
            writer.close()
