"""Requests that are refused before their body comes, and clients that take too long."""

import socket
import threading
import time

import pytest

pytest.importorskip("flask", reason="requirements-page.txt is not installed")
pytest.importorskip("waitress", reason="requirements-page.txt is not installed")

from serving import server

HELLO = b"POST /judge HTTP/1.1\r\n"


@pytest.fixture
def served(monkeypatch):
    """An address at which bodies are counted, and the list of their lengths."""
    lengths, servers, create = [], [], server.waitress.create_server

    def app(environ, start_response):
        lengths.append(len(environ["wsgi.input"].read()))
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]

    def note(*args, **options):
        servers.append(create(*args, **options))
        return servers[0]

    monkeypatch.setattr(server.waitress, "create_server", note)
    listening = server.open_socket("127.0.0.1", 0)
    options = {"host": "127.0.0.1", "most_bytes": 1000}
    thread = threading.Thread(
        target=server.serve, args=(app, listening), kwargs=options
    )
    thread.start()
    yield listening.getsockname(), lengths
    # In the server's own thread, which may be waiting for these sockets.
    close = servers[0].asyncore.close_all
    servers[0].trigger.pull_trigger(lambda: close(servers[0]._map))
    thread.join(30)
    assert not thread.is_alive()


def test_open_socket_takes_a_port_for_itself_as_windows_asks(monkeypatch):
    exclusive = socket.SO_KEEPALIVE  # stands for the option that Linux does not have
    monkeypatch.setattr(socket, "SO_EXCLUSIVEADDRUSE", exclusive, raising=False)
    with server.open_socket("127.0.0.1", 0) as listening:
        assert listening.getsockopt(socket.SOL_SOCKET, exclusive) == 1
        assert listening.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR) == 0
        with pytest.raises(ValueError, match="is in use"):
            server.open_socket(*listening.getsockname())


def ask(address: tuple[str, int], headers: str, *parts: bytes) -> bytes:
    """Send the parts of a request's body; return what came when the server hung up."""
    with socket.create_connection(address, timeout=30) as connection:
        connection.sendall(HELLO + headers.replace("\n", "\r\n").encode() + b"\r\n\r\n")
        received = b""
        try:
            for part in parts:
                connection.sendall(part)
                time.sleep(0.3)
            while more := connection.recv(1000):
                received += more
        except OSError:  # cut off while sending
            pass
        return received


@pytest.mark.parametrize(
    ("headers", "length"),
    [
        ("Host: 127.0.0.1\nConnection: close\nContent-Length: 5", 5),
        ("Host: 127.0.0.1\nConnection: close\nTransfer-Encoding: chunked", 0),
        ("Host: 127.0.0.1\nContent-Length: 1001", None),
        ("Host: 127.0.0.1\nExpect: 100-continue\nContent-Length: 1001", None),
        ("Host: evil.example\nContent-Length: 999", None),
        ("Host: evil.example\nTransfer-Encoding: chunked", None),
        ("Host: 127.0.0.1\nOrigin: http://evil.example\nContent-Length: 999", None),
        ("Host: 127.0.0.1\nSec-Fetch-Site: cross-site\nContent-Length: 999", None),
    ],
)
def test_serve_body_that_is_refused_is_not_waited_for(headers, length, served):
    address, lengths = served
    # A refused body may look like a request of the page's own.
    body = {5: b"bytes", 0: b"0\r\n\r\n"}.get(
        length, HELLO + b"Host: 127.0.0.1\r\n\r\n"
    )
    received = ask(address, headers, body)
    assert received.startswith(b"HTTP/1.1 200 OK")
    assert lengths == [length or 0]


def test_serve_client_that_trickles_is_cut_off(served, monkeypatch):
    monkeypatch.setattr(server, "LONGEST_REQUEST_S", 1)
    address, lengths = served
    began = time.monotonic()
    headers = "Host: 127.0.0.1\nContent-Length: 900"
    assert ask(address, headers, *[b"x"] * 100) == b""
    assert time.monotonic() - began < 10
    assert not lengths
    assert ask(address, f"{headers[:-3]}2\nConnection: close", b"a", b"b")[-2:] == b"ok"


def test_open_socket_says_why_it_cannot_listen():
    with server.open_socket("0.0.0.0", 0) as taken:
        port = taken.getsockname()[1]
        assert server.get_address(taken) == f"http://127.0.0.1:{port}/"
        for host, number, reason in (
            ("0.0.0.0", port, "is in use"),
            ("no such host", 0, "there is no host 'no such host'"),
            ("192.0.2.1", 0, "cannot listen at port 0 of 192.0.2.1"),
        ):
            with pytest.raises(ValueError, match=reason):
                server.open_socket(host, number)
