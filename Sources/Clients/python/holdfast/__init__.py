"""Keeps established TCP connections alive when the host that owns them dies.

Speaks varlink to holdfastd on this host (interface ``io.holdfast``). ``Client`` blocks, ``AsyncClient`` is for asyncio. Both hand
out connections that count offsets and skip output that the peer has already, so that an application can make its output again
from its last checkpoint. Offsets count bytes of a connection's stream since it was registered.
"""

from __future__ import annotations

import asyncio
import base64
import collections
import dataclasses
import json
import socket
import threading
from typing import Any, AsyncIterator, Deque, Dict, Iterator, List, Optional, Sequence, Tuple, Union

__all__ = [
    "DEFAULT_PATH", "Error", "Refused", "DaemonNotRunning", "ConnectionLost", "Info", "Registration", "Client",
    "AsyncClient", "Connection", "AsyncConnection",
]

DEFAULT_PATH = "/run/holdfast/control.sock"


class Error(Exception):
    """The daemon could not do what was asked."""


class Refused(Error):
    """The daemon refused; ``name`` is the interface's, as in ``io.holdfast.NotActive``."""

    def __init__(self, name: str, parameters: Dict[str, Any]) -> None:
        self.name = name
        self.parameters = parameters
        detail = ", ".join(f"{key}: {value}" for key, value in parameters.items())
        super().__init__(f"{name} ({detail})" if detail else name)


class DaemonNotRunning(Error):
    """Nobody answers at the control socket."""


class ConnectionLost(Error):
    """The daemon went away before it answered: whether it did what was asked is not known."""


@dataclasses.dataclass(frozen=True)
class Registration:
    id: str
    protected: bool
    """The standby could continue the connection now."""
    reason: Optional[str]
    """Why not."""


@dataclasses.dataclass(frozen=True)
class Info:
    """A connection as the daemon shows it (``Connection`` in the interface)."""

    id: str
    pair: str
    service: str
    key: Optional[str]
    local: str
    peer: str
    tcp_state: str
    protected: bool
    received: int
    consumed: int
    sent: int
    unacknowledged: int

    @staticmethod
    def _from(fields: Dict[str, Any]) -> "Info":
        return Info(
            fields["id"], fields["pair"], fields["service"], fields.get("key"), fields["local"], fields["peer"],
            fields["tcpState"], fields["protected"], fields["received"], fields["consumed"], fields["sent"],
            fields["unacknowledged"])


def _call(method: str, parameters: Dict[str, Any], more: bool = False) -> bytes:
    message: Dict[str, Any] = {
        "method": "io.holdfast." + method,
        "parameters": {key: value for key, value in parameters.items() if value is not None},
    }
    if more:
        message["more"] = True
    return json.dumps(message, separators=(",", ":")).encode() + b"\0"


def _checkpoint(id: str, state: bytes, consumed: Optional[int], produced: Optional[int]) -> bytes:
    return _call("Checkpoint", {
        "id": id, "state": base64.b64encode(state).decode(), "consumed": consumed, "produced": produced})


def _close_all(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        socket.close(descriptor)


class _Reader:
    """Cuts what arrives into messages. Descriptors belong to the last message of the read that brought them."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._early: List[int] = []

    def take(self, data: bytes, descriptors: List[int]) -> List[Tuple[Dict[str, Any], List[int]]]:
        self._buffer += data
        parts = bytes(self._buffer).split(b"\0")
        self._buffer = bytearray(parts.pop())
        messages: List[Tuple[Dict[str, Any], List[int]]] = [(json.loads(part), []) for part in parts]
        if messages:
            messages[0][1].extend(self._early)
            self._early = []
        if messages and not self._buffer:
            messages[-1][1].extend(descriptors)
        else:
            self._early += descriptors
        return messages

    def close(self) -> None:
        _close_all(self._early)
        self._early = []


def _receive(channel: socket.socket) -> Tuple[bytes, List[int]]:
    data, descriptors, flags, _ = socket.recv_fds(channel, 65536, 253)
    if flags & socket.MSG_CTRUNC:
        _close_all(descriptors)
        # Whoever called hangs up, and the daemon offers again what it sent.
        raise Error("an adopted connection did not fit into this process: raise its limit of open files and adopt again")
    return data, list(descriptors)


def _parameters(message: Dict[str, Any]) -> Dict[str, Any]:
    if "error" in message:
        raise Refused(message["error"], message.get("parameters") or {})
    return message.get("parameters") or {}


def _adopted_socket(message: Dict[str, Any], descriptors: List[int]) -> Tuple[Dict[str, Any], socket.socket]:
    try:
        parameters = _parameters(message)
        descriptor = descriptors.pop(parameters["fd"])
    except IndexError:
        raise Error("an adopted connection came without its socket") from None
    finally:
        _close_all(descriptors)
    return parameters, socket.socket(fileno=descriptor)


class _Offsets:
    """What a connection knows of itself, however it is read and written."""

    def __init__(self, sock: socket.socket, id: str, adopted: Optional[Dict[str, Any]] = None) -> None:
        self.socket = sock
        self.id = id
        info = adopted["connection"] if adopted else {}
        self.service: Optional[str] = info.get("service")
        self.key: Optional[str] = info.get("key")
        self.state: Optional[bytes] = None
        """The newest covered checkpoint's, on adoption."""
        if adopted and adopted.get("state") is not None:
            self.state = base64.b64decode(adopted["state"])
        self.consumed: int = info.get("consumed", 0)
        """Input offset of the next byte that is read."""
        sent: int = info.get("sent", 0)
        produced = adopted.get("produced") if adopted else None
        self.produced: int = sent if produced is None else produced
        """Output offset of the next byte that is written."""
        self._skip = sent - self.produced

    @property
    def skipping(self) -> int:
        """Output that will be skipped because the peer has it or will get it."""
        return self._skip

    def rewind(self, produced: int = 0) -> None:
        """For an application whose output begins anew at ``produced``: what has been sent beyond that is skipped."""
        if not 0 <= produced <= self.produced + self._skip:
            raise ValueError(f"produced {produced} is not between 0 and {self.produced + self._skip}")
        self._skip += self.produced - produced
        self.produced = produced

    def _unsent(self, data: Union[bytes, bytearray, memoryview]) -> memoryview:
        view = memoryview(data).cast("B")
        count = min(self._skip, len(view))
        self._skip -= count
        self.produced += count
        return view[count:]


class Connection(_Offsets):
    """A protected connection. Reads and writes wait; for one thread at a time."""

    def __init__(self, client: "Client", sock: socket.socket, id: str, adopted: Optional[Dict[str, Any]] = None) -> None:
        super().__init__(sock, id, adopted)
        self._client = client
        sock.setblocking(True)

    def read(self, count: int) -> bytes:
        """Up to ``count`` bytes; empty at the end of the stream."""
        data = self.socket.recv(count)
        self.consumed += len(data)
        return data

    def write(self, data: Union[bytes, bytearray, memoryview]) -> None:
        """Writes all of it, less what is to be skipped."""
        rest = self._unsent(data)
        while rest:
            count = self.socket.send(rest)
            self.produced += count
            rest = rest[count:]

    def confirm(self, consumed: Optional[int] = None) -> None:
        """Input up to ``consumed``, or all that was read, need not come again."""
        self._client.confirm(self.id, self.consumed if consumed is None else consumed)

    def checkpoint(self, state: bytes) -> None:
        """``state`` is valid after what was read and written so far."""
        self._client.checkpoint(self.id, state, self.consumed, self.produced)

    def close(self) -> None:
        """Ends the output, and protection when both sides have ended; the socket is closed."""
        self._end("close")

    def reset(self) -> None:
        self._end("reset")

    def _end(self, how: str) -> None:
        try:
            self._client.release(self.id, how)
        except Refused as error:
            # It has ended already.
            if error.name != "io.holdfast.NoSuchConnection":
                raise
        finally:
            self.socket.close()


class Client:
    """An application's connection to holdfastd. Calls wait for the answer; several threads may call, one after the other.

    :param timeout: longest wait for an answer, seconds; None waits for ever. Does not apply to ``adopt`` and ``monitor``.
    """

    def __init__(self, path: str = DEFAULT_PATH, timeout: Optional[float] = None) -> None:
        self.path = path
        self.timeout = timeout
        self._lock = threading.Lock()
        self._channel: Optional[socket.socket] = self._connect(timeout)
        self._reader = _Reader()
        self._inbox: Deque[Tuple[Dict[str, Any], List[int]]] = collections.deque()

    def _connect(self, timeout: Optional[float]) -> socket.socket:
        channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        channel.settimeout(timeout)
        try:
            channel.connect(self.path)
        except (FileNotFoundError, ConnectionRefusedError):
            channel.close()
            raise DaemonNotRunning(f"nobody answers at {self.path}: is holdfastd running?") from None
        except BaseException:
            channel.close()
            raise
        return channel

    def close(self) -> None:
        with self._lock:
            self._drop()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _drop(self) -> None:
        if self._channel:
            self._channel.close()
        self._channel = None
        self._reader.close()
        for _, descriptors in self._inbox:
            _close_all(descriptors)
        self._inbox.clear()

    def _exchange(self, calls: Sequence[Tuple[bytes, Sequence[int]]]) -> List[Dict[str, Any]]:
        """Sends all calls, then reads an answer to each."""
        with self._lock:
            if self._channel is None:
                self._channel = self._connect(self.timeout)
                self._reader = _Reader()
            channel = self._channel
            try:
                for message, descriptors in calls:
                    if descriptors:
                        # All in one piece: what follows must not share its write.
                        sent = socket.send_fds(channel, [message], list(descriptors))
                        if sent < len(message):
                            channel.sendall(message[sent:])
                    else:
                        channel.sendall(message)
                answers = []
                for _ in calls:
                    while not self._inbox:
                        data, descriptors = _receive(channel)
                        if not data:
                            raise ConnectionLost(f"holdfastd closed the connection at {self.path}")
                        self._inbox.extend(self._reader.take(data, descriptors))
                    message, extra = self._inbox.popleft()
                    _close_all(extra)
                    answers.append(message)
                return answers
            except (BrokenPipeError, ConnectionResetError):
                self._drop()
                raise ConnectionLost(f"holdfastd closed the connection at {self.path}") from None
            except BaseException:
                # The next answer could be the one that did not come in time.
                self._drop()
                raise

    def _one(self, message: bytes, descriptors: Sequence[int] = ()) -> Dict[str, Any]:
        return _parameters(self._exchange([(message, descriptors)])[0])

    def register(
        self, sock: socket.socket, service: str, key: Optional[str] = None, retention: str = "read"
    ) -> Registration:
        """Puts a connected socket under protection. Nobody may read or write it during the call."""
        return self.register_all([sock], service, [key], retention)[0]

    def register_all(
        self, socks: Sequence[socket.socket], service: str, keys: Optional[Sequence[Optional[str]]] = None,
        retention: str = "read",
    ) -> List[Registration]:
        """Registers many without waiting for each. Raises the first refusal, when all have been answered."""
        registrations: List[Registration] = []
        refusal: Optional[Refused] = None
        # In parts: the answers to a part fit into what the two sockets hold.
        for start in range(0, len(socks), 256):
            calls = [
                (_call("Register", {
                    "fd": 0, "service": service, "key": keys[index] if keys else None, "retention": retention,
                }), [socks[index].fileno()])
                for index in range(start, min(start + 256, len(socks)))
            ]
            for message in self._exchange(calls):
                try:
                    fields = _parameters(message)
                except Refused as error:
                    refusal = refusal or error
                    continue
                registrations.append(Registration(fields["id"], fields["protected"], fields.get("reason")))
        if refusal:
            raise refusal
        return registrations

    def protect(
        self, sock: socket.socket, service: str, key: Optional[str] = None, retention: str = "read"
    ) -> Connection:
        """Registers ``sock`` and returns it as a connection that counts its offsets."""
        connection = Connection(self, sock, self.register(sock, service, key, retention).id)
        connection.service, connection.key = service, key
        return connection

    def confirm(self, id: str, consumed: int) -> None:
        self._one(_call("Confirm", {"id": id, "consumed": consumed}))

    def checkpoint(
        self, id: str, state: bytes, consumed: Optional[int] = None, produced: Optional[int] = None
    ) -> None:
        self._one(_checkpoint(id, state, consumed, produced))

    def release(self, id: str, how: str = "keep") -> None:
        self._one(_call("Release", {"id": id, "how": how}))

    def status(self) -> Dict[str, Any]:
        return self._one(_call("GetStatus", {}))

    def connections(self, pair: Optional[str] = None, service: Optional[str] = None) -> List[Info]:
        fields = self._one(_call("ListConnections", {"pair": pair, "service": service}))
        return [Info._from(each) for each in fields["connections"]]

    def adopt(self, service: str) -> Iterator[Connection]:
        """Waits for connections of ``service`` that this host continues, one after the other, on a connection of its own."""
        for message, descriptors in self._stream(_call("Adopt", {"service": service}, more=True)):
            parameters, sock = _adopted_socket(message, descriptors)
            yield Connection(self, sock, parameters["connection"]["id"], parameters)

    def monitor(self) -> Iterator[Dict[str, Any]]:
        """What happens, as it happens."""
        for message, descriptors in self._stream(_call("Monitor", {}, more=True)):
            _close_all(descriptors)
            yield _parameters(message)["event"]

    def _stream(self, call: bytes) -> Iterator[Tuple[Dict[str, Any], List[int]]]:
        channel = self._connect(None)
        reader = _Reader()
        try:
            channel.sendall(call)
            while True:
                data, descriptors = _receive(channel)
                if not data:
                    raise ConnectionLost(f"holdfastd closed the connection at {self.path}")
                messages = collections.deque(reader.take(data, descriptors))
                try:
                    while messages:
                        yield messages.popleft()
                finally:
                    for _, rest in messages:
                        _close_all(rest)
        finally:
            reader.close()
            channel.close()


class AsyncConnection(_Offsets):
    """A protected connection for asyncio; one task may read while another writes."""

    def __init__(
        self, client: "AsyncClient", sock: socket.socket, id: str, adopted: Optional[Dict[str, Any]] = None
    ) -> None:
        super().__init__(sock, id, adopted)
        self._client = client
        sock.setblocking(False)

    async def read(self, count: int) -> bytes:
        """Up to ``count`` bytes; empty at the end of the stream."""
        data = await asyncio.get_running_loop().sock_recv(self.socket, count)
        self.consumed += len(data)
        return data

    async def write(self, data: Union[bytes, bytearray, memoryview]) -> None:
        """Writes all of it, less what is to be skipped."""
        rest = self._unsent(data)
        if rest:
            await asyncio.get_running_loop().sock_sendall(self.socket, rest)
            self.produced += len(rest)

    async def confirm(self, consumed: Optional[int] = None) -> None:
        """Input up to ``consumed``, or all that was read, need not come again."""
        await self._client.confirm(self.id, self.consumed if consumed is None else consumed)

    async def checkpoint(self, state: bytes) -> None:
        """``state`` is valid after what was read and written so far."""
        await self._client.checkpoint(self.id, state, self.consumed, self.produced)

    async def close(self) -> None:
        """Ends the output, and protection when both sides have ended; the socket is closed."""
        await self._end("close")

    async def reset(self) -> None:
        await self._end("reset")

    async def _end(self, how: str) -> None:
        try:
            await self._client.release(self.id, how)
        except Refused as error:
            # It has ended already.
            if error.name != "io.holdfast.NoSuchConnection":
                raise
        finally:
            self.socket.close()


class AsyncClient:
    """``Client`` for asyncio. Tasks may call at the same time: their calls are sent without waiting for each other."""

    def __init__(self, path: str = DEFAULT_PATH) -> None:
        self.path = path
        self._channel: Optional[socket.socket] = None
        self._reader = _Reader()
        self._waiting: Deque["asyncio.Future[Dict[str, Any]]"] = collections.deque()
        self._outgoing: Deque[Tuple[bytes, List[int]]] = collections.deque()

    def close(self) -> None:
        self._fail(ConnectionLost("the client was closed"))

    async def __aenter__(self) -> "AsyncClient":
        self._open()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def _open(self) -> socket.socket:
        if self._channel is None:
            self._channel = _connect_nonblocking(self.path)
            self._reader = _Reader()
            asyncio.get_running_loop().add_reader(self._channel.fileno(), self._readable)
        return self._channel

    def _fail(self, error: Exception) -> None:
        channel, self._channel = self._channel, None
        if channel is not None:
            loop = asyncio.get_running_loop()
            loop.remove_reader(channel.fileno())
            loop.remove_writer(channel.fileno())
            channel.close()
        self._reader.close()
        self._outgoing.clear()
        waiting, self._waiting = self._waiting, collections.deque()
        for future in waiting:
            if not future.done():
                future.set_exception(error)

    def _readable(self) -> None:
        if self._channel is None:
            return
        try:
            data, descriptors = _receive(self._channel)
            if not data:
                raise ConnectionResetError
            for message, extra in self._reader.take(data, descriptors):
                _close_all(extra)
                future = self._waiting.popleft()
                if not future.done():
                    future.set_result(message)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._fail(ConnectionLost(f"holdfastd closed the connection at {self.path}"))
        except Error as error:
            self._fail(error)

    def _writable(self) -> None:
        channel = self._channel
        if channel is None:
            return
        try:
            while self._outgoing:
                message, descriptors = self._outgoing[0]
                # A message goes in one piece with its descriptors, and what follows in another.
                sent = socket.send_fds(channel, [message], descriptors) if descriptors else channel.send(message)
                self._outgoing.popleft()
                if sent < len(message):
                    self._outgoing.appendleft((message[sent:], []))
        except (BlockingIOError, InterruptedError):
            asyncio.get_running_loop().add_writer(channel.fileno(), self._writable)
            return
        except OSError:
            self._fail(ConnectionLost(f"holdfastd closed the connection at {self.path}"))
            return
        asyncio.get_running_loop().remove_writer(channel.fileno())

    async def _one(self, message: bytes, descriptors: Sequence[int] = ()) -> Dict[str, Any]:
        self._open()
        future: "asyncio.Future[Dict[str, Any]]" = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self._outgoing.append((message, list(descriptors)))
        if len(self._outgoing) == 1:
            self._writable()
        return _parameters(await future)

    async def register(
        self, sock: socket.socket, service: str, key: Optional[str] = None, retention: str = "read"
    ) -> Registration:
        """Puts a connected socket under protection. Nobody may read or write it during the call."""
        fields = await self._one(
            _call("Register", {"fd": 0, "service": service, "key": key, "retention": retention}), [sock.fileno()])
        return Registration(fields["id"], fields["protected"], fields.get("reason"))

    async def protect(
        self, sock: socket.socket, service: str, key: Optional[str] = None, retention: str = "read"
    ) -> AsyncConnection:
        """Registers ``sock`` and returns it as a connection that counts its offsets."""
        registration = await self.register(sock, service, key, retention)
        connection = AsyncConnection(self, sock, registration.id)
        connection.service, connection.key = service, key
        return connection

    async def confirm(self, id: str, consumed: int) -> None:
        await self._one(_call("Confirm", {"id": id, "consumed": consumed}))

    async def checkpoint(
        self, id: str, state: bytes, consumed: Optional[int] = None, produced: Optional[int] = None
    ) -> None:
        await self._one(_checkpoint(id, state, consumed, produced))

    async def release(self, id: str, how: str = "keep") -> None:
        await self._one(_call("Release", {"id": id, "how": how}))

    async def status(self) -> Dict[str, Any]:
        return await self._one(_call("GetStatus", {}))

    async def connections(self, pair: Optional[str] = None, service: Optional[str] = None) -> List[Info]:
        fields = await self._one(_call("ListConnections", {"pair": pair, "service": service}))
        return [Info._from(each) for each in fields["connections"]]

    async def adopt(self, service: str) -> AsyncIterator[AsyncConnection]:
        """Waits for connections of ``service`` that this host continues, one after the other, on a connection of its own."""
        async for message, descriptors in self._stream(_call("Adopt", {"service": service}, more=True)):
            parameters, sock = _adopted_socket(message, descriptors)
            yield AsyncConnection(self, sock, parameters["connection"]["id"], parameters)

    async def monitor(self) -> AsyncIterator[Dict[str, Any]]:
        """What happens, as it happens."""
        async for message, descriptors in self._stream(_call("Monitor", {}, more=True)):
            _close_all(descriptors)
            yield _parameters(message)["event"]

    async def _stream(self, call: bytes) -> AsyncIterator[Tuple[Dict[str, Any], List[int]]]:
        loop = asyncio.get_running_loop()
        channel = _connect_nonblocking(self.path)
        reader = _Reader()
        readable = asyncio.Event()
        loop.add_reader(channel.fileno(), readable.set)
        try:
            await loop.sock_sendall(channel, call)
            while True:
                await readable.wait()
                readable.clear()
                try:
                    data, descriptors = _receive(channel)
                except (BlockingIOError, InterruptedError):
                    continue
                if not data:
                    raise ConnectionLost(f"holdfastd closed the connection at {self.path}")
                messages = collections.deque(reader.take(data, descriptors))
                readable.set()
                try:
                    while messages:
                        yield messages.popleft()
                finally:
                    for _, rest in messages:
                        _close_all(rest)
        finally:
            loop.remove_reader(channel.fileno())
            reader.close()
            channel.close()


def _connect_nonblocking(path: str) -> socket.socket:
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # On a unix socket connecting does not wait for the other side.
        channel.connect(path)
        channel.setblocking(False)
    except (FileNotFoundError, ConnectionRefusedError):
        channel.close()
        raise DaemonNotRunning(f"nobody answers at {path}: is holdfastd running?") from None
    except BaseException:
        channel.close()
        raise
    return channel
