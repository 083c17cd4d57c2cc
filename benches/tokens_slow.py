#!/usr/bin/env python3
"""A slow way to a registry: passes connections on, and lets so many bytes a second up through each.

    tokens_slow.py PORT TARGET RATE
"""

import asyncio
import socket
import sys

CHUNK = 4096


async def passed(reader, writer, rate):
    try:
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
            if rate:
                await asyncio.sleep(len(data) / rate)
    except ConnectionError:
        pass
    finally:
        writer.close()


async def serve(reader, writer, target, rate):
    # Small buffers, or a whole layer would be on its way at once.
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, CHUNK)
    there, back = await asyncio.open_connection("127.0.0.1", target)
    await asyncio.gather(passed(reader, back, rate), passed(there, writer, 0))


async def main():
    port, target, rate = (int(value) for value in sys.argv[1:4])
    server = await asyncio.start_server(
        lambda reader, writer: serve(reader, writer, target, rate), "127.0.0.1", port, limit=CHUNK)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
