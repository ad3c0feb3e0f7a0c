"""Executes the conformance script's commands with the Python library: one a line on standard input, one answer a line.

driver.py sync|asyncio CONTROL
"""

import asyncio
import inspect
import socket
import sys

import holdfast

flavour, control = sys.argv[1:3]
listener = None
connections = {}
if flavour == "sync":
    daemon = holdfast.Client(control)
else:
    daemon = holdfast.AsyncClient(control)


async def settle(value):
    return await value if inspect.isawaitable(value) else value


async def adopted(service):
    if flavour == "sync":
        return next(iter(daemon.adopt(service)))
    async for connection in daemon.adopt(service):
        return connection


def describe(connection):
    return f"consumed={connection.consumed} produced={connection.produced} skip={connection.skipping}"


async def perform(verb, arguments):
    global listener
    if verb == "listen":
        listener = socket.create_server(("0.0.0.0", int(arguments[0])))
        return ""
    if verb == "missing":
        await settle(daemon.confirm("0123456789abcdef", 0))
        return ""
    name, rest = arguments[0], arguments[1:]
    if verb == "accept":
        client, _ = listener.accept()
        key = None if rest[2] == "-" else rest[2]
        connections[name] = await settle(daemon.protect(client, rest[0], key, rest[1]))
        return connections[name].id
    if verb == "adopt":
        connection = connections[name] = await adopted(rest[0])
        state = "-" if connection.state is None else connection.state.hex()
        return f"{connection.id} {connection.key or '-'} {state} {describe(connection)}"
    connection = connections[name]
    if verb == "read":
        data = b""
        while len(data) < int(rest[0]):
            piece = await settle(connection.read(int(rest[0]) - len(data)))
            if not piece:
                break
            data += piece
        return data.hex()
    if verb == "write":
        await settle(connection.write(bytes.fromhex(rest[0])))
    elif verb == "rewind":
        connection.rewind(int(rest[0]))
    elif verb == "confirm":
        await settle(connection.confirm(int(rest[0]) if rest else None))
    elif verb == "checkpoint":
        await settle(connection.checkpoint(bytes.fromhex(rest[0])))
    elif verb == "raw-checkpoint":
        offsets = [int(each) for each in rest[1:3]]
        await settle(daemon.checkpoint(connection.id, bytes(int(rest[0])), *offsets))
    elif verb == "again":
        await settle(daemon.register(connection.socket, rest[0]))
    elif verb == "end":
        await settle(connection.close() if rest[0] == "close" else connection.reset())
    else:
        raise ValueError(verb)
    return describe(connection)


async def main():
    for line in sys.stdin:
        verb, *arguments = line.split()
        try:
            answer = "ok " + await perform(verb, arguments)
        except holdfast.Refused as error:
            answer = "error " + error.name
        except holdfast.Error as error:
            answer = f"error {error}"
        print(answer.strip(), flush=True)


asyncio.run(main())
