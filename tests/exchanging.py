"""What processes do that work together: they train, exchange numbers, and agree."""

import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from files.names import name_run_files
from files.tensors import save_tensors
from hardware import distributed
from loading.batches import BatchLoader
from records.checkpoint import CheckpointRecord
from records.run_files import RunFiles
from records.run_log import RunLog
from trainer import Trainer
from tuning.optimizers import build_optimizer


class Scale:
    """A preprocessing: bytes to [-1, 1]."""

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
    trainer.run(2, at_safe_point=files.at_safe_point, after_epoch=files.after_epoch)
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
    paced = distributed.PacedMaximum()
    answers = []
    for step in range(60):
        time.sleep(0.001 + 0.03 * rank)
        answers.append(paced.maximum([rank * (step >= 30), 7]))
    places = [step for step, answer in enumerate(answers) if answer[1]]
    assert places[0] == 0
    assert 2 <= len(places) < 20
    assert [answers[step][0] for step in places] == [int(p >= 30) for p in places]
    assert distributed.maximum(places) == places  # those of the other process


def main(words: Sequence[str]) -> None:
    """Do all of this; a lone process trains."""
    distributed.start(torch.device("cpu"))
    train(Path(words[0]))
    if distributed.get_world_size() == 2:
        exchange()
        agree()
