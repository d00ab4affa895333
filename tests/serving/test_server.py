"""Requests that are refused before their body comes; clients that are slow, or gone."""

import socket
import threading
import time
from contextlib import ExitStack

import pytest
from served_pages import run_server

from serving import server
from serving.guard import VIDEO, Limits
from serving.server import MOST_VIDEOS

HELLO = b"POST /judge HTTP/1.1\r\n"


@pytest.fixture
def served():
    """An address at which bodies are counted, and the list of their lengths."""
    lengths = []

    def app(environ, start_response):
        lengths.append(len(environ["wsgi.input"].read()))
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]

    with run_server(app, Limits(0.001, 0.002)) as address:
        yield address, lengths


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
        ("Host: 127.0.0.1\nContent-Length: 1001", None),
        ("Host: 127.0.0.1\nExpect: 100-continue\nContent-Length: 1001", None),
        ("Host: 127.0.0.1\nOrigin: http://evil.example\nContent-Length: 999", None),
    ],
)
def test_serve_body_that_is_refused_is_not_waited_for(headers, length, served):
    address, lengths = served
    # A refused body may look like a request of the page's own.
    body = b"bytes" if length else HELLO + b"Host: 127.0.0.1\r\n\r\n"
    received = ask(address, headers, body)
    assert received.startswith(b"HTTP/1.1 200 OK")
    assert lengths == [length or 0]


def test_serve_body_of_unknown_length_is_refused(served):
    address, lengths = served
    received = ask(address, "Host: 127.0.0.1\nTransfer-Encoding: chunked", b"5\r\n")
    assert received.startswith(b"HTTP/1.1 400 Bad Request")
    assert b"a request must state its length" in received
    assert lengths == []


def receive(connection: socket.socket) -> bytes:
    """Return an answer up to the end of its body, ok, which may come by itself."""
    answer = b""
    while not answer.endswith(b"ok") and (part := connection.recv(1000)):
        answer += part
    return answer


@pytest.mark.slow
def test_serve_holds_few_videos_which_may_be_larger(served):
    address, lengths = served
    hello = f"POST {VIDEO}?name=a HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close"
    hello = f"{hello}\r\nContent-Length: 2000\r\n\r\n".encode()
    with ExitStack() as stack:
        for number in range(MOST_VIDEOS + 1):
            client = stack.enter_context(socket.create_connection(address, timeout=30))
            client.sendall(hello + b"x")
            if number == 0:
                first = client
            time.sleep(0.2)
        assert b"ok" in receive(client)  # it is not waited for
        first.sendall(b"x" * 1999)
        assert b"ok" in receive(first)
    assert lengths == [0, 2000]


def test_serve_answer_ends_when_nobody_listens_any_more():
    ended = threading.Event()

    def app(environ, start_response):
        start_response("200 OK", [])
        return speak()

    def speak():
        try:
            while True:
                time.sleep(0.05)
                yield b"word"
        finally:
            ended.set()

    with run_server(app) as address:
        with socket.create_connection(address, timeout=30) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert client.recv(1000)
            assert not ended.is_set()
        assert ended.wait(10)


@pytest.mark.slow
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
            ("0.0.0.0", port, "is in use; give another --port"),
            ("no such host", 0, "there is no host 'no such host'"),
            ("192.0.2.1", 0, "cannot listen at port 0 of 192.0.2.1"),
        ):
            with pytest.raises(ValueError, match=reason):
                server.open_socket(host, number)
