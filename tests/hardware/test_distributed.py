"""A process alone, or in a group of one; two: tests/test_several_processes.py."""

import itertools
import socket
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from hardware import distributed

CPU = torch.device("cpu")


def check_lone_process() -> None:
    """Check that a process by itself gets back what it gives."""
    assert (distributed.get_rank(), distributed.get_world_size()) == (0, 1)
    assert distributed.is_main()
    assert distributed.sum_over_processes((1, 2.5)) == [1, 2.5]
    assert distributed.maximum([3]) == [3]
    assert distributed.gather(torch.ones(2)).tolist() == [1, 1]


def test_alone_everything_is_a_no_op():
    model = nn.Linear(1, 1)
    assert distributed.start(CPU) == CPU
    assert distributed.wrap(model) is model
    check_lone_process()
    distributed.share_buffers(model)
    paced = distributed.PacedMaximum()
    assert [paced.maximum([n, 0]) for n in range(3)] == [[0, 0], [1, 0], [2, 0]]
    distributed.stop()


@pytest.fixture
def lone_group(monkeypatch):
    """A process group of one, started from torchrun's environment."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
    told = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": 1}
    for name, value in {**told, "RANK": 0, "LOCAL_RANK": 0}.items():
        monkeypatch.setenv(name, str(value))
    yield distributed.start(CPU)
    distributed.stop()


def test_group_of_one_gives_the_same_numbers_and_gradients_and_speaks(lone_group):
    assert lone_group == CPU
    check_lone_process()
    model = nn.BatchNorm1d(2)
    network = distributed.wrap(model)
    assert network.module is model
    network(torch.tensor([[1.0, 2.0], [3.0, 5.0]])).pow(3).sum().backward()
    assert model.weight.grad is not None
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    distributed.average_buffers(model)
    distributed.share_buffers(model)
    assert all(map(torch.equal, model.buffers(), buffers.values()))
    assert distributed.gather_to_main("a") == ["a"]
    assert distributed.tell_all({"b": 1}) == {"b": 1}
    assert [distributed.speaks_first(), distributed.speaks_first()] == [True, False]
    distributed.stop()
    assert distributed.speaks_first()


def test_agreement_in_a_group_exchanges_about_once_a_second(lone_group, monkeypatch):
    seconds = itertools.count(step=0.25)
    clock = SimpleNamespace(monotonic=lambda: next(seconds), sleep=print)
    monkeypatch.setattr(distributed, "time", clock)
    paced = distributed.PacedMaximum()
    answers = [paced.maximum([5, 1])[0] for _ in range(6)]
    assert answers == [5, 0, 0, 0, 5, 0]  # a quarter of a second for the first call


def test_start_on_gpus_takes_the_one_of_its_rank(monkeypatch):
    chosen, backends = [], []
    monkeypatch.setenv("LOCAL_RANK", "3")
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setattr(
        distributed.dist,
        "init_process_group",
        lambda name, timeout: backends.append(name),
    )
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    with pytest.raises(ValueError, match="there are 3 GPUs"):
        distributed.start(torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    device = distributed.start(torch.device("cuda"))
    assert device == torch.device("cuda", 3)
    assert (chosen, backends) == ([device], ["nccl"])
