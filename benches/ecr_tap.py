#!/usr/bin/env python3
"""A tap between the clients and nginx: it ends TLS, opens it again, and writes down every byte of both directions, a file
for each connection and direction (FOLDER/12.from-client, FOLDER/12.to-client).

    ecr_tap.py --folder FOLDER --pair CRT KEY --ca CRT LISTEN=NGINX...      127.0.0.1:8001=127.0.0.1:8002
"""

import argparse
import asyncio
import itertools
import ssl

from ecr_registry import address

COUNT = itertools.count(1)


async def pump(source, target, path):
    with open(path, "wb", buffering=0) as file:
        try:
            while data := await source.read(1 << 16):
                file.write(data)
                target.write(data)
                await target.drain()
        except (OSError, ssl.SSLError):
            pass
    # The whole connection: a half that is closed can't be told over TLS, and HTTP needs none.
    target.close()


async def serve(near, there, folder, context):
    number = next(COUNT)
    try:
        far = await asyncio.open_connection(*there, ssl=context, server_hostname=there[0])
    except OSError:
        near[1].close()
        return
    await asyncio.gather(pump(near[0], far[1], f"{folder}/{number}.from-client"),
                         pump(far[0], near[1], f"{folder}/{number}.to-client"))


async def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", required=True)
    parser.add_argument("--pair", nargs=2, required=True)
    parser.add_argument("--ca", required=True)
    parser.add_argument("ways", nargs="+")
    told = parser.parse_args()
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ours.load_cert_chain(*told.pair)
    context = ssl.create_default_context(cafile=told.ca)
    servers = []
    for way in told.ways:
        here, there = map(address, way.split("="))

        async def accept(reader, writer, there=there):
            await serve((reader, writer), there, told.folder, context)

        servers.append(await asyncio.start_server(accept, *here, ssl=ours, backlog=256))
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    asyncio.run(main())
