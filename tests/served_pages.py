"""The page and its server within the tests' process."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any
from unittest import mock

import pytest

pytest.importorskip("flask", reason="requirements-page.txt is not installed")
pytest.importorskip("waitress", reason="requirements-page.txt is not installed")

import serve
from hardware import Precision
from serving import server
from serving.app import Judge, build_app
from serving.guard import LIMITS, Limits


def build(judge: Judge, limits: Limits = LIMITS) -> Any:
    """Build the page's application, as of `serve.py -cpp net.pt --no-find-faces`."""
    words = ["-cpp", "net.pt", "--no-find-faces"]
    report = partial(serve.build_report, judge.detector, Precision(), words)
    return build_app(judge, report, limits=limits)


@contextmanager
def run_server(app: Any, limits: Limits = LIMITS) -> Iterator[tuple[str, int]]:
    """Serve an application in a thread, at the address that is yielded."""
    servers, ended, create = [], [], server.waitress.create_server

    def note(*args: object, **options: object) -> Any:
        servers.append(create(*args, **options))
        return servers[0]

    listening = server.open_socket("127.0.0.1", 0)
    options = {"host": "127.0.0.1", "limits": limits}
    options["on_end"] = lambda: ended.append(True)
    with mock.patch.object(server.waitress, "create_server", note):
        thread = threading.Thread(
            target=server.serve, args=(app, listening), kwargs=options
        )
        thread.start()
        try:
            yield listening.getsockname()
        finally:  # in the server's own thread, which may be waiting for these sockets
            close = servers[0].asyncore.close_all
            with suppress(OSError):  # it was awake, and has closed the trigger, too
                servers[0].trigger.pull_trigger(lambda: close(servers[0]._map))
            thread.join(30)
    assert not thread.is_alive()
    servers[0].task_dispatcher.shutdown()
    assert ended
