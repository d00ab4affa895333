"""Feed damaged files to the readers; run as a process of its own, which is measured.

    PYTHONPATH=. python tests/fuzzing.py TARGET COUNT SEED [FIRST]

damages COUNT files of a target (`TARGETS`), from number FIRST (0) on; a number gives
the same file whatever the others are (but for the addresses that torch's old format
holds). It prints a JSON object: how many files were
read, how many refused, the seconds of the slowest, the largest resident memory of the
process, and the failures: files that were neither read nor refused with one line. A
file that takes a minute ends the process with a traceback; the last number on stderr
is its.
"""

import contextlib
import faulthandler
import io
import json
import random
import resource
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import torch
from mutations import (
    is_archive,
    mutate,
    mutate_json,
    mutate_member,
    mutate_records,
    mutate_tensors,
)
from PIL import Image
from torch import Tensor, nn

import utils
from files.history import CURVES, load_history, save_run
from files.imagenet_weights import load_backbone
from files.names import SPLITS, name_run_files
from files.run_files import RunFiles
from files.tensors import load_tensors
from hardware import Precision
from judging.pictures import load_pictures
from judging.verdicts import judge_batches, load_detector
from judging.words import format_verdict, summarise
from loading import PUBLISHED, BatchLoader
from loading.image_files import check_image_header, read_image
from trainer import Trainer

PROJECT = Path(__file__).resolve().parent.parent
MOST_SECONDS = 60
MOST_CHARACTERS = 1000

Seeds = dict[str, bytes]  # by a name whose ending is the file's extension

IMAGE_KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "rgb.jpg": ("RGB", {}),
    "progressive.jpeg": ("RGB", {"progressive": True, "comment": "hello"}),
    "cmyk.jpg": ("CMYK", {}),
    "grey.jfif": ("L", {}),
    "rgb.png": ("RGB", {}),
    "alpha.png": ("RGBA", {}),
    "palette.png": ("P", {"transparency": 0}),
    "deep.png": ("I;16", {}),
    "bits.png": ("1", {}),
    "palette.gif": ("P", {}),
    "animation.gif": ("P", {"save_all": True}),
    "rgb.bmp": ("RGB", {}),
    "palette.bmp": ("P", {}),
    "rgb.dib": ("RGB", {}),
    "lossy.webp": ("RGB", {}),
    "lossless.webp": ("RGBA", {"lossless": True}),
    "rgb.avif": ("RGB", {}),
    "raw.tiff": ("RGB", {}),
    "lzw.tif": ("RGB", {"compression": "tiff_lzw"}),
    "deflate.tif": ("L", {"compression": "tiff_adobe_deflate"}),
    "jpeg.tif": ("RGB", {"compression": "jpeg"}),
    "fax.tif": ("1", {"compression": "group4"}),
    "float.tif": ("F", {}),
    "rgb.ppm": ("RGB", {}),
    "grey.pgm": ("L", {}),
    "bits.pbm": ("1", {}),
    "float.pfm": ("F", {}),
    "rgb.jp2": ("RGB", {}),
    "rgb.mpo": ("RGB", {"save_all": True}),
    "alpha.ico": ("RGBA", {}),
    "alpha.icns": ("RGBA", {}),
    "alpha.dds": ("RGBA", {}),
    "palette.blp": ("P", {}),
    "rgb.im": ("RGB", {}),
    "bits.msp": ("1", {}),
    "rgb.pcx": ("RGB", {}),
    "alpha.qoi": ("RGBA", {}),
    "rgb.sgi": ("RGB", {}),
    "float.spider": ("F", {"format": "SPIDER"}),
    "rle.tga": ("RGB", {"compression": "tga_rle"}),
    "bits.xbm": ("1", {}),
    "rgb.eps": ("RGB", {}),
}


def make_images() -> Seeds:
    """Make an image of each kind, its camera orientation given where there is one."""
    pixels = np.random.default_rng(0).integers(0, 256, (24, 20, 4), dtype=np.uint8)
    source = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[0x0112] = 6
    images = {}
    for name, (mode, options) in IMAGE_KINDS.items():
        image = _convert(source, mode)
        if options.get("save_all"):
            options = {**options, "append_images": [image.rotate(90)]}
        extension = name[name.rfind(".") :]
        kind = options.get("format") or Image.registered_extensions().get(extension)
        if kind not in Image.SAVE:  # AVIF and QOI, before Pillow 11.3
            continue
        handle = io.BytesIO()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # some formats are on their way out
            image.save(handle, **{"format": kind, "exif": exif, **options})
        images[name] = handle.getvalue()
    return images


def _convert(image: Any, mode: str) -> Any:
    """Convert an RGBA image to any mode."""
    if mode == "I;16":
        return Image.new("I;16", image.size, 40_000)
    if mode == "RGBA":
        return image
    return image.convert("RGB").convert(mode)


def read_image_file(path: Path) -> None:
    """Read an image, after its header, and check what comes out."""
    try:
        check_image_header(path)
    except ValueError as header_error:
        _check_refusal(header_error)
    image = read_image(path)
    if image.mode != "RGB" or len(image.tobytes()) != 3 * image.width * image.height:
        raise AssertionError(f"{image.mode} image")


def make_tensors() -> Seeds:
    """Make checkpoints of a tiny model, of both of torch's file formats."""
    content = {
        "model": {"fc.weight": torch.randn(3, 4), "fc.bias": torch.randn(3)},
        "half": torch.randn(5).bfloat16(),
        "number": torch.tensor(3),
        "flags": {"lr": 0.1, "name": "x", "limit": None, "betas": (0.9, 0.999)},
        "history": [1.0, 2.0],
    }
    return _save_in_both_formats({"": content})


def _save_in_both_formats(contents: dict[str, Any]) -> Seeds:
    """Save values as torch does, and as it did before 1.6."""
    seeds = {}
    for name, content in contents.items():
        for kind, is_zip in (("zip", True), ("legacy", False)):
            handle = io.BytesIO()
            torch.save(content, handle, _use_new_zipfile_serialization=is_zip)
            seeds[f"{name}{kind}.pt"] = handle.getvalue()
    return seeds


def read_tensor_file(path: Path) -> None:
    """Load a file of tensors, and print it: nothing in it is endless."""
    repr(load_tensors(path))


class TinyNet(nn.Module):
    """Stands for SimpleNet, whose files have 68 MB: two of its layers, made small."""

    preprocessing = PUBLISHED

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.conv3 = nn.Conv2d(3, 2, 3, stride=64)
        self.fc3 = nn.Linear(2, 2)

    def forward(self, images: Tensor) -> Tensor:
        """Compute logits (N, 2)."""
        return self.fc3(self.conv3(images).mean(dim=(2, 3)))


def make_checkpoints() -> Seeds:
    """Make a checkpoint with all its entries, and one of the original exercise."""
    best = {"val_acc": 90.0, "test_acc": 80, "epoch": 1}
    details = {
        **{"format_version": 2, "run_id": "a", "model_name": "SimpleNet"},
        **{"dataset": "d", "class_names": ["real", "fake"], "data_fingerprint": "x"},
        **{"temperature": 1.5, "threshold": 0.4, "threshold_policy": "eer on 4"},
        **{"val_fake_share": 0.5, "preprocessing": PUBLISHED.to_dict()},
        **{"flags": {"lr": 0.1, "limit": None}, "versions": {"torch": "2.10"}},
    }
    old = {"model": TinyNet("SimpleNet").state_dict(), **best}
    return _save_in_both_formats({"new_": {**old, **details}, "old_": old})


def read_checkpoint(path: Path) -> None:
    """Load a checkpoint and judge a black image, as predict.py does."""
    with mock.patch.object(utils, "build_model", lambda name, **_: TinyNet(name)):
        detector = load_detector(path, Precision("fp32", torch.device("cpu")))
    image = path.with_name("black.png")
    Image.new("RGB", (8, 8)).save(image)
    ((verdict,),) = [
        judged.verdicts for judged in judge_batches(load_pictures([image]), [detector])
    ]
    lines = [verdict.error]
    if not verdict.error:
        if not 0 <= verdict.fake_score <= 1:
            raise AssertionError(f"the score is {verdict.fake_score}")
        lines = [format_verdict(verdict), summarise(Counter([verdict.name]), detector)]
    for line in lines:
        _check_line(line)


class TinyXception(nn.Module):
    """Stands for Xception: a layer of each kind, made small."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(2)
        self.pointwise = nn.Conv2d(2, 2, 1, bias=False)
        self.last_linear = nn.Linear(2, 2)


def make_weights() -> Seeds:
    """Make the weights of a tiny Xception in the spellings that are read."""
    state = TinyXception().state_dict()
    names = {name: name.replace("last_linear.", "fc.") for name in state}
    old = {f"module.{names[name]}": value.squeeze() for name, value in state.items()}
    return _save_in_both_formats({"": state, "old_": {"state_dict": old}})


def read_weights(path: Path) -> None:
    """Load ImageNet weights."""
    model = TinyXception()
    load_backbone(model, path)
    if not all(value.isfinite().all() for value in model.state_dict().values()):
        raise AssertionError("a weight is not finite")


def _make_trainer() -> Trainer:
    """Build a trainer of a tiny model."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    samples = [(torch.ones(3, 2, 2), number % 2) for number in range(4)]
    loaders = {
        split: BatchLoader(samples, 2, training=split == "train") for split in SPLITS
    }
    return Trainer(model, torch.optim.Adam(model.parameters()), loaders)


def _make_run_files(folder: Path) -> RunFiles:
    """Build the files of a run in a folder."""
    paths = name_run_files("d", "m", out_dir=folder, checkpoints_dir=folder)
    details = {"flags": {"lr": 0.1}, "data_fingerprint": "x"}
    return RunFiles(paths, {"run_id": "a"}, details, lambda logits, labels: {})


def make_snapshots() -> Seeds:
    """Make the snapshot of a run of one epoch."""
    with tempfile.TemporaryDirectory() as name:
        files = _make_run_files(Path(name))
        _make_trainer().run(1, after_epoch=files.after_epoch)
        return {files.paths.snapshot.name: files.paths.snapshot.read_bytes()}


def read_snapshot(path: Path) -> None:
    """Go on from a snapshot for an epoch, and from what that saved."""
    files, trainer = _make_run_files(path.parent), _make_trainer()
    try:
        files.resume(trainer)
        trainer.run(len(trainer.history["val_acc"]) + 1, after_epoch=files.after_epoch)
    except FloatingPointError as error:  # a wild weight or learning rate
        raise ValueError(f"{path.name}: {error}") from error
    try:
        _make_run_files(path.parent).resume(_make_trainer())
    except ValueError as error:
        raise AssertionError(f"then: {error}") from error


def make_histories() -> Seeds:
    """Make a history of two runs, and one of the original exercise."""
    run = {curve: [0.25, 99.5, 3] for curve in CURVES}
    optimizer = {"name": "Adam", "params": {"lr": 0.001}}
    runs = [{"run_id": str(n), "optimizer": optimizer, **run} for n in range(2)]
    return {
        "history.json": json.dumps(runs, indent=1).encode(),
        "old.json": json.dumps([run]).encode(),
        "deep.json": b"[" * 300_000,
        "numbers.json": b'[{"train_loss": [1e999, 1e-999, -0, NaN, 1' + b"0" * 5000,
        "big.json": json.dumps(
            [{**run, "val_acc": [10**400, 10**300, 1]}, run]
        ).encode(),
    }


def read_history(path: Path) -> None:
    """Load a history, look at its curves as plots do, and add a run to it."""
    runs = load_history(path)
    for run in runs:
        curves = np.array([run[curve] for curve in CURVES], dtype=np.float64)
        if not np.isfinite(curves).all():
            raise AssertionError("a number is not finite")
    save_run({**runs[0], "run_id": "new"}, path)


def damage_bytes(data: bytes, other: bytes, rng: random.Random) -> bytes:
    """Damage a file's bytes, in an archive half of the time those of its pickle."""
    inside = is_archive(data) and rng.random() < 0.5
    return (mutate_member if inside else mutate)(data, other, rng)


def damage_archive(data: bytes, other: bytes, rng: random.Random) -> bytes:
    """Damage an archive's records, or the values of a file that is none."""
    return (mutate_records if is_archive(data) else mutate_tensors)(data, other, rng)


class Target(NamedTuple):
    """Files of a kind: how good ones are made, read, and damaged in one of the ways."""

    make_seeds: Callable[[], Seeds]
    read: Callable[[Path], None]
    damages: tuple[Callable[[bytes, bytes, random.Random], bytes], ...]


OF_VALUES = (mutate_tensors, mutate_tensors, damage_archive)
TARGETS = {
    "images": Target(make_images, read_image_file, (damage_bytes,)),
    "tensors": Target(make_tensors, read_tensor_file, (damage_bytes, *OF_VALUES)),
    "checkpoints": Target(make_checkpoints, read_checkpoint, OF_VALUES),
    "weights": Target(make_weights, read_weights, OF_VALUES),
    "snapshots": Target(make_snapshots, read_snapshot, (damage_bytes, *OF_VALUES)),
    "histories": Target(make_histories, read_history, (damage_bytes, mutate_json)),
}


def fuzz(target: str, count: int, seed: int, first: int = 0) -> dict[str, Any]:
    """Damage files and read them; return what came of it."""
    make_seeds, read, damages = TARGETS[target]
    torch.manual_seed(0)
    seeds = make_seeds()
    names = list(seeds)
    result: dict[str, Any] = {"read": 0, "refused": 0, "failures": [], "slowest_s": 0.0}
    for number in range(first, first + count):
        print(number, file=sys.stderr)
        rng = random.Random(f"{target} {seed} {number}")
        name = names[number % len(names)]
        damage = rng.choice(damages)
        data = damage(seeds[name], seeds[rng.choice(names)], rng)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / (rng.choice(names) if rng.random() < 0.1 else name)
            path.write_bytes(data)
            what = f"{number} {name} {damage.__name__}"
            start = time.monotonic()
            result[_try(read, path, what, result["failures"])] += 1
            result["slowest_s"] = max(result["slowest_s"], time.monotonic() - start)
    return {**result, "kinds": len(names), "max_rss_mib": get_peak_mib()}


def get_peak_mib() -> int:
    """Return this process's peak memory, MiB.

    Linux's `ru_maxrss` starts from the peak of the process that started this one.
    """
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (x for x in status.read_text().splitlines() if "VmHWM" in x)
        return int(line.split()[1]) // 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def _try(
    read: Callable[[Path], None], path: Path, what: str, failures: list[str]
) -> str:
    """Read a file; return whether it was read or refused, and note a failure."""
    faulthandler.dump_traceback_later(MOST_SECONDS, exit=True)
    try:
        read(path)
    except ValueError as error:
        try:
            _check_refusal(error, path.name)
        except AssertionError as complaint:
            failures.append(f"{what}: {complaint}")
        return "refused"
    except Exception as error:
        failures.append(f"{what}: {error!r}")
        return "refused"
    finally:
        faulthandler.cancel_dump_traceback_later()
    return "read"


def _check_refusal(error: ValueError, name: str = "") -> None:
    """Raise AssertionError unless a message is one line that names the file."""
    _check_line(str(error))
    if name not in str(error):
        raise AssertionError(f"the message {str(error)!r} does not name the file")


def _check_line(text: str) -> None:
    """Raise AssertionError unless a text can be shown as one line."""
    if not 0 < len(text) <= MOST_CHARACTERS or not text.isprintable():
        raise AssertionError(f"unclear line {text!r:.1500}")


def main() -> None:
    """Run the script."""
    with contextlib.redirect_stdout(io.StringIO()):  # what a run says of itself
        result = fuzz(sys.argv[1], *map(int, sys.argv[2:]))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
