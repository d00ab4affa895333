"""Feed damaged files to the readers; run as a process of its own, which is measured.

    PYTHONPATH=. python tests/fuzzing.py {images,tensors,snapshots,histories} COUNT SEED

prints a JSON object: how many files were read, how many refused, the largest resident
memory of the process, and the first of the failures: files that were neither read nor
refused with one line. A file that takes a minute ends the process with a traceback.
"""

from __future__ import annotations

import contextlib
import faulthandler
import io
import json
import random
import resource
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mutations import mutate, mutate_member
from PIL import Image
from torch import nn

from files.history import CURVES, load_history, save_run
from files.layout import SPLITS, name_run_files
from files.run_files import RunFiles
from files.tensors import load_tensors
from loading import BatchLoader
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
    handles = {"zip.pt": io.BytesIO(), "legacy.pt": io.BytesIO()}
    for name, handle in handles.items():
        is_zip = name == "zip.pt"
        torch.save(content, handle, _use_new_zipfile_serialization=is_zip)
    return {name: handle.getvalue() for name, handle in handles.items()}


def read_tensor_file(path: Path) -> None:
    """Load a file of tensors."""
    load_tensors(path)


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
    """Go on from a snapshot for an epoch."""
    for other in set(path.parent.iterdir()) - {path}:
        other.unlink()
    files, trainer = _make_run_files(path.parent), _make_trainer()
    try:
        files.resume(trainer)
        trainer.run(trainer.epoch + 1)
    except FloatingPointError as error:  # a wild weight or learning rate
        raise ValueError(f"{path.name}: {error}") from error


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
    """Load a history, and add a run to it."""
    run = load_history(path)[0]
    save_run({**run, "run_id": "new"}, path)


TARGETS: dict[str, tuple[Callable[[], Seeds], Callable[[Path], None]]] = {
    "images": (make_images, read_image_file),
    "tensors": (make_tensors, read_tensor_file),
    "snapshots": (make_snapshots, read_snapshot),
    "histories": (make_histories, read_history),
}


def fuzz(target: str, count: int, seed: int) -> dict[str, Any]:
    """Damage files and read them; return what came of it."""
    make_seeds, read = TARGETS[target]
    rng = random.Random(seed)
    seeds = make_seeds()
    names = list(seeds)
    result: dict[str, Any] = {"read": 0, "refused": 0, "failures": []}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(count):
            name = names[number % len(names)]
            inside = zipfile.is_zipfile(io.BytesIO(seeds[name])) and rng.random() < 0.5
            change = mutate_member if inside else mutate
            data = change(seeds[name], seeds[rng.choice(names)], rng)
            path = Path(folder) / (rng.choice(names) if rng.random() < 0.1 else name)
            path.write_bytes(data)
            result[_try(read, path, f"{number} {name}", result["failures"])] += 1
            path.unlink()
    result["kinds"] = len(names)
    result["max_rss_mib"] = get_peak_mib()
    return result


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
    text = str(error)
    if len(text.splitlines()) != 1 or len(text) > MOST_CHARACTERS or name not in text:
        raise AssertionError(f"unclear message {text!r}")


def main() -> None:
    """Run the script."""
    with contextlib.redirect_stdout(io.StringIO()):  # what a run says of itself
        result = fuzz(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
