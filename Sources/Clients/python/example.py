#!/usr/bin/env python3
"""Numbers the lines that clients send, for ever: `1 hello`. Run it on both hosts; the numbering survives the crash of one.

Its state is how many lines it has seen. It confirms input by checkpoints, so whatever came after the last one comes again, the
numbers are made again, and the library skips those that the client has.
"""

import argparse
import asyncio
import socket

import holdfast


async def serve(connection: holdfast.AsyncConnection) -> None:
    count = int(connection.state or b"0")
    if connection.state is None:
        connection.rewind()
    rest = b""
    try:
        while True:
            data = await connection.read(65536)
            if not data:
                break
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                count += 1
                await connection.write(b"%d %s\n" % (count, line))
            if lines and not rest and not connection.skipping:
                await connection.checkpoint(b"%d" % count)
        await connection.close()
    except OSError as error:
        print(f"{connection.id}: {error}")
        await connection.reset()


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=7000)
    parser.add_argument("--control", default=holdfast.DEFAULT_PATH)
    options = parser.parse_args()
    daemon = holdfast.AsyncClient(options.control)
    tasks = set()

    def start(connection: holdfast.AsyncConnection) -> None:
        task = asyncio.create_task(serve(connection))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async def adopt() -> None:
        while True:
            try:
                async for connection in daemon.adopt("numbers"):
                    start(connection)
            except holdfast.Error as error:
                print(f"adopt: {error}")
                await asyncio.sleep(0.2)

    adopting = asyncio.create_task(adopt())
    listener = socket.create_server(("0.0.0.0", options.port), backlog=1024)
    listener.setblocking(False)
    while True:
        client, _ = await asyncio.get_running_loop().sock_accept(listener)
        try:
            start(await daemon.protect(client, "numbers", retention="confirm"))
        except holdfast.Error as error:
            print(f"register: {error}")
            client.close()
    await adopting


asyncio.run(main())
