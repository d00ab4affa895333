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

from files.history import load_history
from files.names import name_run_files
from files.run_files import RunFiles
from files.tensors import load_tensors, save_tensors
from hardware import distributed
from loading.batches import BatchLoader
from trainer import Trainer
from utils import build_optimizer

HERE = Path(__file__).parent
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
    distributed.start(torch.device("cpu"))
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
    details = {"flags": {}, "data_fingerprint": ""}
    files = RunFiles(paths, {}, details, lambda logits, labels: {})
    trainer.run(2, after_batch=files.after_batch, after_epoch=files.after_epoch)
    end = {"model": model.state_dict(), "history": trainer.history}
    save_tensors(end, folder / f"end{distributed.get_rank()}.pt")
    distributed.stop()


def find_free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def run_processes(code: str, num_processes: int) -> list[str]:
    """Start processes as torchrun does; return what went wrong in each."""
    common = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(find_free_port()),
        "WORLD_SIZE": str(num_processes),
        "OMP_NUM_THREADS": "1",
    }
    processes = [
        subprocess.Popen(
            [sys.executable, "-B", "-c", f"import test_distributed as t; {code}"],
            cwd=HERE,
            env={
                **os.environ,
                **common,
                "PYTHONPATH": str(HERE.parents[1]),
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(num_processes)
    ]
    try:
        errors = [process.communicate(timeout=TIMEOUT_S)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    return [
        error if process.returncode else ""
        for error, process in zip(errors, processes, strict=True)
    ]


@pytest.mark.slow
def test_two_processes_train_as_one_does(tmp_path, capsys):
    (tmp_path / "one").mkdir()
    train(tmp_path / "one")
    capsys.readouterr()
    code = f"from pathlib import Path; t.train(Path({str(tmp_path / 'two')!r}))"
    assert run_processes(code, 2) == ["", ""]
    expected = load_tensors(tmp_path / "one" / "end0.pt")
    for rank in (0, 1):
        end = load_tensors(tmp_path / "two" / f"end{rank}.pt")
        for curve, values in expected["history"].items():
            assert end["history"][curve] == pytest.approx(values, rel=1e-5), curve
        torch.testing.assert_close(end["model"], expected["model"])
    run = load_history(tmp_path / "two" / "d_m_Adam.json")[-1]
    assert run["train_loss"] == pytest.approx(expected["history"]["train_loss"])
    checkpoint = load_tensors(tmp_path / "two" / "d_m_Adam.pt")
    assert (
        checkpoint["epoch"] == load_tensors(tmp_path / "one" / "d_m_Adam.pt")["epoch"]
    )


def exchange() -> None:
    """Check, in one of two processes, what each gets of the other's numbers."""
    distributed.start(torch.device("cpu"))
    rank = distributed.get_rank()
    assert distributed.sum_over_processes([rank + 0.25, 2**53]) == [1.5, 2**54]
    assert distributed.maximum([rank, -rank]) == [1, 0]
    rows = torch.full((rank, 2), float(rank))  # none of the first process
    assert distributed.gather(rows).tolist() == [[1.0, 1.0]]
    distributed.stop()


@pytest.mark.slow
def test_two_processes_exchange_numbers_and_rows():
    assert run_processes("t.exchange()", 2) == ["", ""]


def agree() -> None:
    """Check, in one of two processes, that both skip the same exchanges."""
    distributed.start(torch.device("cpu"))
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
    distributed.stop()


@pytest.mark.slow
def test_two_processes_ask_each_other_about_once_a_second():
    assert run_processes("t.agree()", 2) == ["", ""]


def test_agreement_of_a_lone_process_answers_every_call():
    agreement = distributed.Agreement()
    assert [agreement.maximum([n, 0]) for n in range(3)] == [[0, 0], [1, 0], [2, 0]]


@pytest.fixture
def lone_group(monkeypatch):
    """A process group of one, started from torchrun's environment."""
    for name, value in {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(find_free_port()),
        "WORLD_SIZE": "1",
        "RANK": "0",
        "LOCAL_RANK": "0",
    }.items():
        monkeypatch.setenv(name, value)
    yield distributed.start(torch.device("cpu"))
    distributed.stop()


def test_agreement_in_a_group_exchanges_about_once_a_second(lone_group, monkeypatch):
    seconds = itertools.count(step=0.25)
    clock = SimpleNamespace(monotonic=lambda: next(seconds))
    monkeypatch.setattr(distributed, "time", clock)
    agreement = distributed.Agreement()
    answers = [agreement.maximum([5, 1])[0] for _ in range(6)]
    assert answers == [5, 0, 0, 0, 5, 0]  # a quarter of a second for the first call


def test_start_under_torchrun_joins_the_group(lone_group):
    assert lone_group == torch.device("cpu")
    assert (distributed.get_rank(), distributed.get_world_size()) == (0, 1)
    assert distributed.is_main()
    assert distributed.sum_over_processes([1, 2.5]) == [1, 2.5]
    assert distributed.maximum([3]) == [3]
    assert distributed.gather(torch.ones(2)).tolist() == [1, 1]


def test_wrap_in_a_group_gives_the_same_gradients(lone_group):
    model = nn.BatchNorm1d(2)
    network = distributed.wrap(model)
    assert network.module is model
    network(torch.tensor([[1.0, 2.0], [3.0, 5.0]])).pow(3).sum().backward()
    distributed.share_buffers(model)
    distributed.average_buffers(model)
    assert model.weight.grad is not None


def test_start_on_gpus_takes_the_one_of_its_rank(monkeypatch):
    chosen, backends = [], []
    monkeypatch.setenv("LOCAL_RANK", "3")
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setattr(distributed.dist, "init_process_group", backends.append)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    with pytest.raises(ValueError, match="there are 3 GPUs"):
        distributed.start(torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    device = distributed.start(torch.device("cuda"))
    assert device == torch.device("cuda", 3)
    assert (chosen, backends) == ([device], ["nccl"])


def test_alone_everything_is_a_no_op():
    model = nn.Linear(1, 1)
    assert distributed.start(torch.device("cpu")) == torch.device("cpu")
    assert distributed.wrap(model) is model
    assert distributed.sum_over_processes((1, 2)) == [1, 2]
    assert distributed.maximum([3]) == [3]
    assert distributed.gather(torch.ones(2)).tolist() == [1, 1]
    assert (distributed.get_rank(), distributed.get_world_size()) == (0, 1)
    distributed.share_buffers(model)
    distributed.stop()
