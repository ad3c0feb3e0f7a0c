#!/usr/bin/env python3
"""A line service that outlives the host it runs on: it answers each line in upper case.

Run it on both hosts of a pair. Python 3.9 or later, nothing but the standard library:

    register.py --port 7000 --service shout

What a program must do to be continued at any byte, with retention `read`:

1. Register the connection before the first read (Daemon.register).
2. Make the output a function of the input. Here an answer is as long as its line, so output byte n answers input byte n.
3. Consume input only when its answer cannot be lost: what was read and not answered before a crash is gone. So lines are
   looked at (MSG_PEEK), answered, and read only when the peer has acknowledged all output (SIOCOUTQ is 0).
4. When adopting, go on at the offsets: input comes again from `consumed`; the first `sent - consumed` bytes of its answers have
   left already and are not written again (Daemon.adopted).
"""

import argparse
import array
import fcntl
import json
import os
import select
import socket
import sys
import termios
import threading
import time


class Refused(Exception):
    """An error reply: its name says what is wrong, its parameters what about."""


class Daemon:
    """A varlink connection to holdfastd: JSON objects that end with NUL, descriptors as SCM_RIGHTS beside them."""

    MOST = 253  # descriptors that the kernel sends with one message

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.connect(path)
        self.unread = b""
        self.descriptors = []

    def send(self, method, parameters, descriptors=(), more=False):
        call = {"method": "io.holdfast." + method, "parameters": parameters}
        if more:
            call["more"] = True
        message = json.dumps(call).encode() + b"\0"
        # One sendmsg for the call and its descriptors, and nothing else in it.
        sent = socket.send_fds(self.socket, [message], list(descriptors))
        if sent < len(message):
            self.socket.sendall(message[sent:])

    def receive(self):
        """The next reply, and the descriptors that came with it."""
        while b"\0" not in self.unread:
            data, descriptors, flags, _ = socket.recv_fds(self.socket, 65536, self.MOST, socket.MSG_CMSG_CLOEXEC)
            self.descriptors += descriptors
            if flags & socket.MSG_CTRUNC:
                raise ConnectionError("descriptors were lost on the way")
            if not data:
                raise ConnectionError("the daemon has closed the connection")
            self.unread += data
        message, self.unread = self.unread.split(b"\0", 1)
        # Descriptors belong to the last message of the read that brought them.
        descriptors = []
        if not self.unread:
            descriptors, self.descriptors = self.descriptors, []
        reply = json.loads(message)
        if "error" in reply:
            raise Refused(reply["error"], reply.get("parameters", {}))
        return reply.get("parameters", {}), descriptors

    def register(self, connection, service):
        self.send("Register", {"fd": 0, "service": service}, [connection.fileno()])
        return self.receive()[0]

    def release(self, name, how):
        self.send("Release", {"id": name, "how": how})
        self.receive()

    def adopted(self, service):
        """Waits for connections of the other host, and yields each with its socket."""
        self.send("Adopt", {"service": service}, more=True)
        while True:
            reply, descriptors = self.receive()
            yield reply["connection"], socket.socket(fileno=descriptors[reply["fd"]])


def unacknowledged(connection):
    """Output that the peer has not acknowledged, bytes."""
    count = array.array("i", [0])
    fcntl.ioctl(connection, termios.TIOCOUTQ, count)
    return count[0]


class Service:
    LONGEST = 65536  # bytes of lines that are answered and not consumed

    def __init__(self, control, name):
        self.control = control
        self.name = name

    def start(self, connection, known=None):
        threading.Thread(target=self.run, args=(connection, known), daemon=True).start()

    def run(self, connection, known):
        name = known["id"] if known else self.register(connection)
        try:
            skip = known["sent"] - known["consumed"] if known else 0
            self.serve(connection, skip)
            how = "close"
        except OSError as error:
            print("connection:", error, file=sys.stderr)
            how = "reset"
        if name:
            try:
                # close() alone would end nothing: the daemon has a duplicate of the socket.
                Daemon(self.control).release(name, how)
            except (OSError, Refused):
                pass
        connection.close()

    def register(self, connection):
        try:
            return Daemon(self.control).register(connection, self.name)["id"]
        except (OSError, Refused) as error:
            print("unprotected:", error, file=sys.stderr)
            return None

    def serve(self, connection, skip):
        connection.setblocking(False)
        answered = 0  # bytes at the front of the input whose answers are written
        waiting = select.poll()
        waiting.register(connection, select.POLLIN | select.POLLRDHUP)
        while True:
            # Not for the bytes that are known already; a moment at most when these wait for an acknowledgement.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, answered + 1)
            waiting.poll(5 if answered else None)
            if answered and unacknowledged(connection) == 0:
                answered -= len(connection.recv(answered))
            over = ended(connection)
            try:
                data = connection.recv(self.LONGEST, socket.MSG_PEEK)
            except BlockingIOError:
                continue
            lines = data[answered : data.rfind(b"\n") + 1]
            if lines:
                answer = lines.upper()
                write(connection, answer[skip:])
                skip = max(0, skip - len(answer))
                answered += len(lines)
            elif not answered and (over or len(data) == self.LONGEST):
                return


def ended(connection):
    """Whether the peer has ended its output: the first byte of tcp_info is the state."""
    return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != 1  # ESTABLISHED


def write(connection, data):
    while data:
        try:
            data = data[connection.send(data) :]
        except BlockingIOError:
            select.select([], [connection], [])


def adopt(service):
    while True:
        try:
            for known, connection in Daemon(service.control).adopted(service.name):
                print("adopted", known["id"], known["peer"], "consumed", known["consumed"], "sent", known["sent"], flush=True)
                service.start(connection, known)
        except (OSError, Refused):
            time.sleep(0.2)  # the daemon is not there, or not yet


def main():
    parser = argparse.ArgumentParser(description="Answers lines in upper case, across a failover.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--service", default="shout")
    parser.add_argument("--control", default=os.environ.get("HOLDFAST_CONTROL", "/run/holdfast/control.sock"))
    options = parser.parse_args()
    service = Service(options.control, options.service)
    listener = socket.create_server(("::", options.port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=128)
    # Input that is only looked at still fills the buffer: there must be room for more beside it.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    threading.Thread(target=adopt, args=(service,), daemon=True).start()
    print("serving", flush=True)
    while True:
        service.start(listener.accept()[0])


if __name__ == "__main__":
    main()
