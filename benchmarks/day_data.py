"""What benchmarks/day.py works on: faces, a detector of them, pictures, scores."""

import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from processes import run_command

from files.atomic import save_csv
from files.classes import CLASS_NAMES, REAL
from files.names import SPLITS

PROJECT = Path(__file__).resolve().parents[1]
DATASET = "fakes_dataset"
PHOTOGRAPH, PICTURE = (4000, 3000), (1200, 900)  # pixels
FACE = 0.5  # of a picture's height
MOST_FACES = 200  # that pictures are made of


@dataclass(frozen=True)
class Sizes:
    """How many of what; `trained` and `limit` are images of each class."""

    drawn: int = 600
    pictures: int = 1000
    scores: int = 10_000
    resamples: int = 1000
    audited: int = 10_000
    trained: tuple[tuple[str, int], ...] = (("SimpleNet", 600), ("XceptionBased", 128))
    limit: int | None = None


QUICK = Sizes(20, 6, 400, 100, 60, (("SimpleNet", 16), ("XceptionBased", 16)), 8)


class Kit:
    """What the commands work on, made in a folder when it is asked for.

    `data_root` holds a dataset; None: one is drawn.
    """

    def __init__(self, folder: Path, data_root: Path | None, sizes: Sizes) -> None:
        self.folder, self.sizes, self._own_root = folder, sizes, data_root

    def call(self, script: str, *words: object) -> None:
        """Run one of the scripts, untimed."""
        run_command([sys.executable, PROJECT / script, *map(str, words)], script)

    @cached_property
    def data_root(self) -> Path:
        """The folder that holds the dataset."""
        if self._own_root:
            return self._own_root
        words = "--data-root", self.folder / "data", "--images-per-class"
        self.call("make_demo_datasets.py", *words, self.sizes.drawn)
        return self.folder / "data"

    def list_images(self, split: str, label: str = "*") -> list[Path]:
        """List the images of a split, or of a class of it."""
        return sorted((self.data_root / DATASET / split).glob(f"{label}/*"))

    @cached_property
    def faces(self) -> list[Path]:
        """Some real images of the dataset."""
        return self.list_images("train", CLASS_NAMES[REAL])[:MOST_FACES]

    @cached_property
    def checkpoint(self) -> Path:
        """A SimpleNet, trained for an epoch."""
        folders = "--out-dir", self.folder / "out", "--checkpoints-dir", self.folder
        data = "-d", DATASET, "--data-root", self.data_root
        self.call("train_main.py", *data, "-e", 1, *folders)
        return self.folder / f"{DATASET}_SimpleNet_Adam.pt"

    @cached_property
    def exported(self) -> Path:
        """The same detector for onnxruntime."""
        folder, pictures = self.folder / "exported", self.faces[:10]
        words = "-cpp", self.checkpoint, "--to", folder, "--pictures", *pictures
        self.call("export.py", *words)
        return folder / "detector.onnx"

    @cached_property
    def photo(self) -> Path:
        """A photograph with a face."""
        return self.save_pictures("photo", 1, PHOTOGRAPH) / "00000.jpg"

    @cached_property
    def pictures(self) -> Path:
        """A folder of pictures, each with a face."""
        return self.save_pictures("pictures", self.sizes.pictures, PICTURE)

    def save_pictures(self, name: str, num: int, size: tuple[int, int]) -> Path:
        """Paste faces somewhere into grey pictures of a width and height."""
        folder, rng = self.folder / name, np.random.default_rng(0)
        folder.mkdir()
        side = round(FACE * size[1])
        for number in range(num):
            picture = Image.new("RGB", size, "grey")
            face = Image.open(self.faces[number % len(self.faces)]).convert("RGB")
            place = rng.integers(0, np.subtract(size, side)).tolist()
            picture.paste(face.resize((side, side)), place)
            picture.save(folder / f"{number:05}.jpg", quality=90)
        return folder

    @cached_property
    def scores(self) -> Path:
        """A table of scores, an AUC of about 0.92."""
        rng = np.random.default_rng(0)
        labels = rng.integers(0, 2, self.sizes.scores)
        scores = 1 / (1 + np.exp(1 - 2 * labels - rng.normal(size=len(labels))))
        rows = zip(range(len(labels)), labels, scores, strict=True)
        path = self.folder / "scores.csv"
        save_csv(rows, path, header=("path", "label", "score"))
        return path

    @cached_property
    def audited(self) -> Path:
        """A folder with a dataset of mixtures of two faces each, all different."""
        rng, root = np.random.default_rng(0), self.folder / "audited"
        faces = [Image.open(path).convert("RGB") for path in self.faces]
        for number in range(self.sizes.audited):
            one, other = (faces[i] for i in rng.integers(0, len(faces), 2))
            mixed = Image.blend(one, ImageOps.mirror(other).resize(one.size), 0.5)
            split, label = SPLITS[number // 2 % 3], CLASS_NAMES[number % 2]
            path = root / DATASET / split / label / f"{number:05}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            mixed.save(path, quality=int(rng.integers(80, 96)))
        return root
