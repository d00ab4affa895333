"""Two processes with the same global batch train as one does."""

import itertools
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from files.checkpoint import CheckpointRecord
from files.history import load_history
from files.log_tables import load_table
from files.names import name_run_files
from files.run_files import RunFiles
from files.run_log import RunLog
from files.tensors import load_tensors, save_tensors
from hardware import distributed
from loading.batches import BatchLoader
from trainer import Trainer
from utils import build_optimizer

HERE = Path(__file__).parent
CPU = torch.device("cpu")
TIMEOUT_S = 60


class Scale:
    """The preprocessing of these tests: bytes to [-1, 1]."""

    def normalise(self, images: torch.Tensor) -> torch.Tensor:
        return images.float() / 127.5 - 1


def make_samples(num_samples: int, seed: int) -> list[tuple[torch.Tensor, int]]:
    shape = (num_samples, 3, 8, 8)
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, shape, generator=generator).to(torch.uint8)
    return [(image, index % 2) for index, image in enumerate(images)]


def train(folder: Path) -> None:
    """Train two epochs; each process writes what it ended with into `folder`.

    Batches of four: the last one of nine training, and of five validation samples,
    holds a single sample.
    """
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 5), nn.ReLU(), nn.Linear(5, 2))
    loaders = {
        "train": BatchLoader(make_samples(9, 0), 4, Scale(), training=True),
        "val": BatchLoader(make_samples(5, 1), 4, Scale()),
        "test": BatchLoader(make_samples(2, 2), 4, Scale()),
    }
    optimizer = build_optimizer("SGD", model, lr=0.05, momentum=0.9)
    trainer = Trainer(model, optimizer, loaders)
    paths = name_run_files("d", "m", out_dir=folder, checkpoints_dir=folder)
    files = RunFiles(paths, {}, CheckpointRecord(), lambda logits, labels: {})
    files.log, trainer.measures_norm = RunLog(paths, ["csv"]), True
    trainer.run(2, after_batch=files.after_batch, after_epoch=files.after_epoch)
    end = {"model": model.state_dict(), "history": trainer.history}
    save_tensors(end, folder / f"end{distributed.get_rank()}.pt")


def exchange() -> None:
    """Check, in one of two processes, what each gets of the other's numbers."""
    rank = distributed.get_rank()
    assert distributed.sum_over_processes([rank + 0.25, 2**53]) == [1.5, 2**54]
    assert distributed.maximum([rank, -rank]) == [1, 0]
    for more, expected in ((0, [1]), (1, [0, 1, 1])):  # first none of one process
        rows = torch.full((rank + more,), rank)
        assert distributed.gather(rows).tolist() == expected
    norm = nn.BatchNorm1d(2)
    norm.running_mean.fill_(rank)
    distributed.average_buffers(norm)
    assert norm.running_mean.tolist() == [0.5, 0.5]
    norm.running_mean.fill_(rank)
    distributed.share_buffers(norm)
    assert norm.running_mean.tolist() == [0, 0]


def agree() -> None:
    """Check, in one of two processes, that both skip the same exchanges."""
    rank = distributed.get_rank()
    agreement = distributed.Agreement()
    answers = []
    for step in range(60):
        time.sleep(0.001 + 0.03 * rank)
        answers.append(agreement.maximum([rank * (step >= 30), 7]))
    places = [step for step, answer in enumerate(answers) if answer[1]]
    assert places[0] == 0
    assert 2 <= len(places) < 20
    assert [answers[step][0] for step in places] == [int(p >= 30) for p in places]
    assert distributed.maximum(places) == places  # those of the other process


def run_one_of_two(folder: str) -> None:
    """Do all of this in one process group."""
    distributed.start(CPU)
    train(Path(folder))
    exchange()
    agree()
    distributed.stop()


def find_free_port() -> str:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return str(server.getsockname()[1])


def make_environment(rank: int, num_processes: int, port: str) -> dict[str, str]:
    """Return what torchrun tells a process."""
    group = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    group |= {"WORLD_SIZE": str(num_processes), "OMP_NUM_THREADS": "1"}
    return {**group, "RANK": str(rank), "LOCAL_RANK": str(rank)}


@pytest.mark.slow
def test_two_processes_train_as_one_does_and_exchange_numbers(tmp_path, capsys):
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    train(one)
    code = f"import test_distributed as t; t.run_one_of_two({str(two)!r})"
    port, path = find_free_port(), {"PYTHONPATH": str(HERE.parents[1])}
    processes = [
        subprocess.Popen(
            [sys.executable, "-B", "-c", code],
            cwd=HERE,
            env={**os.environ, **path, **make_environment(rank, 2, port)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    try:
        results = [process.communicate(timeout=TIMEOUT_S) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    for process, (_, error) in zip(processes, results, strict=True):
        assert process.returncode == 0, error
    assert "epoch 2" in results[0][0]
    assert results[1][0] == ""  # only the main process prints
    expected = load_tensors(one / "end0.pt")
    for rank in (0, 1):
        end = load_tensors(two / f"end{rank}.pt")
        for curve, values in expected["history"].items():
            assert end["history"][curve] == pytest.approx(values, rel=1e-5), curve
        torch.testing.assert_close(end["model"], expected["model"])
    run = load_history(two / "d_m_Adam.json")[-1]
    assert run["train_loss"] == pytest.approx(expected["history"]["train_loss"])
    epochs = [load_tensors(f / "d_m_Adam.pt")["epoch"] for f in (one, two)]
    assert epochs[0] == epochs[1]
    logs = [load_table(f / "d_m_Adam_steps.csv") for f in (one, two)]
    assert logs[0]["step"] == [1, 2, 3, 4, 5, 6]
    for name in ("step", "images", "loss", "learning_rate", "gradient_norm"):
        assert logs[1][name] == pytest.approx(logs[0][name], rel=1e-5), name


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
    agreement = distributed.Agreement()
    assert [agreement.maximum([n, 0]) for n in range(3)] == [[0, 0], [1, 0], [2, 0]]
    distributed.stop()


@pytest.fixture
def lone_group(monkeypatch):
    """A process group of one, started from torchrun's environment."""
    for name, value in make_environment(0, 1, find_free_port()).items():
        monkeypatch.setenv(name, value)
    yield distributed.start(CPU)
    distributed.stop()


def test_group_of_one_gives_the_same_numbers_and_gradients(lone_group):
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


def test_agreement_in_a_group_exchanges_about_once_a_second(lone_group, monkeypatch):
    seconds = itertools.count(step=0.25)
    clock = SimpleNamespace(monotonic=lambda: next(seconds), sleep=print)
    monkeypatch.setattr(distributed, "time", clock)
    agreement = distributed.Agreement()
    answers = [agreement.maximum([5, 1])[0] for _ in range(6)]
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


def test_a_group_of_one_exchanges_with_itself():
    store = torch.distributed.HashStore()
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        assert distributed.sum_over_processes([1.5, 2]) == [1.5, 2]
        assert distributed.maximum([3, -1]) == [3, -1]
        assert distributed.gather(torch.ones(2)).tolist() == [1, 1]
        assert distributed.gather_to_main("a") == ["a"]
        assert distributed.tell_all({"b": 1}) == {"b": 1}
        assert [distributed.speaks_first(), distributed.speaks_first()] == [True, False]
        model = distributed.wrap(nn.BatchNorm1d(2))
        distributed.average_buffers(model)
        distributed.share_buffers(model)
        assert model.module.running_var.tolist() == [1, 1]
    finally:
        distributed.stop()
    assert distributed.speaks_first()
