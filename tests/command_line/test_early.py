"""What a script sets up before its slow imports, tried within this process."""

import os
import signal
import sys
from importlib import reload
from pathlib import Path

from command_line import early

import pytest
from script_helpers import PROJECT


@pytest.fixture
def script(monkeypatch):
    """The module, imported as by a script whose streams are closed; the streams."""
    before, names = signal.getsignal(signal.SIGINT), ("stdin", "stdout", "stderr")
    main = sys.modules["__main__"]
    monkeypatch.setattr(main, "__file__", f"{PROJECT}/predict.py", raising=False)
    monkeypatch.setattr(sys, "argv", ["folder/predict.py"])
    with monkeypatch.context() as closed:
        for name in names:
            closed.setattr(sys, name, None)
        reload(early)
        streams = [getattr(sys, name) for name in names]
    yield early, streams
    for stream in streams:
        stream.close()
    signal.signal(signal.SIGINT, before)


def test_script_has_streams_and_its_own_work_can_be_interrupted(script):
    early, streams = script
    for stream in streams:
        assert os.path.samestat(os.fstat(stream.fileno()), Path(os.devnull).stat())
    assert signal.getsignal(signal.SIGINT) is early.end_at_once
    with pytest.raises(KeyboardInterrupt), early.interruptible():
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is early.end_at_once


def test_script_interrupted_in_its_imports_ends_with_one_line(script, monkeypatch):
    said = []
    monkeypatch.setattr(os, "write", lambda *call: said.append(call))
    monkeypatch.setattr(os, "_exit", said.append)
    signal.raise_signal(signal.SIGINT)
    monkeypatch.undo()
    assert said == [(2, b"predict.py: interrupted\n"), 130]
