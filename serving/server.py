"""The socket that the page is served at."""

import errno
import logging
import socket
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from serving.guard import MEGA, VIDEO, Limits, explain_refusal, is_every_address

try:
    import waitress
    from waitress.channel import HTTPChannel
    from waitress.parser import HTTPRequestParser, ParsingError
except ImportError:  # an optional extra: requirements-page.txt
    waitress, HTTPChannel, HTTPRequestParser = None, object, object

NUM_THREADS = 8  # some wait for the one that judges, the rest turn requests away
MOST_CONNECTIONS = 50
MOST_VIDEOS = 2  # in memory: one that is judged, and one to be told so
PATIENCE_S = 60  # with a client that is silent
LONGEST_REQUEST_S = 120  # from its first byte to its last; then the client is cut off
LEAST_SPEED = 250_000  # bytes a second, of a request that takes longer


def check_installed() -> None:
    """Raise ValueError if the page's optional libraries are missing."""
    missing = [name for name in ("Flask", "waitress") if not find_spec(name.lower())]
    if missing:
        raise ValueError(
            f"the page needs {' and '.join(missing)}: "
            "pip install -r requirements-page.txt"
        )


def open_socket(host: str, port: int) -> socket.socket:
    """Take a port, 0 for any that is free, before anything is loaded.

    Raises:
        ValueError: the port is in use or not allowed, or the host is not this machine.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, socket.SOCK_STREAM)
        try:
            # On Windows SO_REUSEADDR would share a port with the program that has it.
            option = getattr(socket, "SO_EXCLUSIVEADDRUSE", socket.SO_REUSEADDR)
            listening.setsockopt(socket.SOL_SOCKET, option, 1)
            listening.bind(address)
            listening.listen()
        except OSError:
            listening.close()
            raise
    except socket.gaierror as error:
        raise ValueError(f"there is no host {host!r}: {error.strerror}") from error
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            advice = "is in use; give another --port, or --port 0 for any that is free"
            raise ValueError(f"port {port} of {host} {advice}") from error
        raise ValueError(
            f"cannot listen at port {port} of {host}: {error.strerror}"
        ) from error
    return listening


def get_address(listening: socket.socket) -> str:
    """Return the page's address, for a browser on this machine."""
    host, port = listening.getsockname()[:2]
    if is_every_address(host):
        host = "127.0.0.1"
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


class _Request(HTTPRequestParser):
    """A request, whose body is not read if its headers are refused."""

    def parse_header(self, header_plus: bytes) -> None:
        """Parse the headers; after a refused request the connection is closed."""
        super().parse_header(header_plus)
        if self.chunked:
            raise ParsingError("a request must state its length")
        if self.adj.is_refused(self):
            self.body_rcv, self.content_length, self.expect_continue = None, 0, False
            self.headers["CONNECTION"] = "close"  # what follows is not a request


class _Channel(HTTPChannel):
    """A connection that ends if a request takes too long to arrive."""

    parser_class = _Request
    _began = 0.0

    def received(self, data: bytes) -> bool:
        """Take the next bytes of a request, unless it is too late."""
        if self.request is None:
            self._began = time.monotonic()
        else:
            longest = max(LONGEST_REQUEST_S, self.request.content_length / LEAST_SPEED)
            if time.monotonic() - self._began > longest:
                self.will_close = True
        return super().received(data)


def serve(
    app: Any,
    listening: socket.socket,
    *,
    host: str,
    limits: Limits,
    on_end: Callable[[], object],
) -> None:
    """Answer requests until Ctrl-C.

    Args:
        app: a WSGI application, which says why a request is refused.
        host: the name or address that the server was told to listen at.
        limits: of a request's body; larger ones are refused.
        on_end: is called before what is being answered is waited for.
    """

    def is_refused(request: _Request) -> bool:
        headers = request.headers
        named = {name.replace("_", "-").title(): headers[name] for name in headers}
        return (
            limits.is_exceeded(request.path, request.content_length)
            or explain_refusal(named, host) is not None
            or (request.path == VIDEO and count_videos() > MOST_VIDEOS)
        )

    def count_videos() -> int:
        """Count those that come or are being judged, the one that asks included."""
        channels = list(server.active_channels.values())
        requests = [r for c in channels for r in (c.request, *c.requests)]
        bodies = [r for r in requests if r is not None and r.content_length]
        return sum(request.path == VIDEO for request in bodies)

    def end() -> None:
        on_end()
        wait_for_threads()

    most_bytes = int(max(limits.megabytes, limits.video_megabytes) * MEGA)
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # no word on waiting
    server = waitress.create_server(
        app,
        sockets=[listening],
        threads=NUM_THREADS,
        connection_limit=MOST_CONNECTIONS,
        channel_timeout=PATIENCE_S,
        max_request_body_size=most_bytes + 1,
        inbuf_overflow=most_bytes + 2_000_000,  # above it, a file would be written
        outbuf_overflow=100_000_000,
        ident=None,
    )
    server.channel_class, server.adj.is_refused = _Channel, is_refused
    wait_for_threads = server.task_dispatcher.shutdown
    server.task_dispatcher.shutdown = end
    try:
        server.run()
    finally:
        server.close()
