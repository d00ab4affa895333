"""The socket that the page is served at."""

import errno
import logging
import socket
from importlib.util import find_spec
from typing import Any

from serving.guard import is_every_address

try:
    import waitress
except ImportError:  # an optional extra: requirements-page.txt
    waitress = None

NUM_THREADS = 8  # one judges, some wait, the rest turn requests away
MOST_CONNECTIONS = 50
PATIENCE_S = 60  # with a client that is silent


def check_installed() -> None:
    """Raise ValueError if the page's optional libraries are missing."""
    missing = [name for name in ("Flask", "waitress") if not find_spec(name.lower())]
    if missing:
        raise ValueError(
            f"the page needs {' and '.join(missing)}: "
            "pip install -r requirements-page.txt"
        )


def open_socket(host: str, port: int) -> socket.socket:
    """Take a port before anything is loaded: it may not be free.

    Args:
        host: name or address to listen at.
        port: 0 takes any that is free.

    Raises:
        ValueError: the port is in use or not allowed, or the host is not this machine.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, socket.SOCK_STREAM)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
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


def serve(app: Any, listening: socket.socket, *, most_bytes: int) -> None:
    """Answer requests until Ctrl-C.

    Args:
        app: a WSGI application.
        listening: as `open_socket` returns it.
        most_bytes: of a request's body; larger ones are refused.
    """
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # no word on waiting
    server = waitress.create_server(
        app,
        sockets=[listening],
        threads=NUM_THREADS,
        connection_limit=MOST_CONNECTIONS,
        channel_timeout=PATIENCE_S,
        # Slightly more, so that the application can say what is allowed.
        max_request_body_size=most_bytes + 1_000_000,
        inbuf_overflow=most_bytes + 2_000_000,  # above it, a file would be written
        outbuf_overflow=100_000_000,
        ident=None,
    )
    try:
        server.run()
    finally:
        server.close()
