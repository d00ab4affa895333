"""Data sets as others lay them out, small; their images are empty files."""

import io
import json
import tarfile
from collections.abc import Iterable
from pathlib import Path

NUM_VIDEOS = 12
NAMES = [f"{number:03}" for number in range(NUM_VIDEOS)]
PAIRS = [[NAMES[i], NAMES[i + 1]] for i in range(0, NUM_VIDEOS, 2)]
FORGERIES = ("Deepfakes", "Face2Face")


def touch(root: Path, names: Iterable[str]) -> Path:
    """Make empty files, and the folders that they lie in."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def list_ff(level: str = "c23") -> dict[tuple[str, str], list[str]]:
    """Return two frames of each video of FaceForensics++, by method and video."""
    videos = {
        ("youtube", name): f"original_sequences/youtube/{level}" for name in NAMES
    }
    for method in FORGERIES:
        for pair in PAIRS:
            for name in ("_".join(pair), "_".join(reversed(pair))):
                videos[method, name] = f"manipulated_sequences/{method}/{level}"
    return {
        (method, name): [f"{folder}/frames/{name}/{n:03}.png" for n in range(2)]
        for (method, name), folder in videos.items()
    }


def make_ff(root: Path) -> Path:
    """Write FaceForensics++'s folders, a mask a fake of Deepfakes, and its splits."""
    for (method, _), frames in list_ff().items():
        touch(root / "ff", frames)
        if method == FORGERIES[0]:
            touch(root / "ff", [frames[0].replace("/frames/", "/masks/")])
    splits = {"train": PAIRS[:3], "val": PAIRS[3:4], "test": PAIRS[4:]}
    for split, pairs in splits.items():
        (root / f"{split}.json").write_text(json.dumps(pairs))
    return root / "ff"


def make_frame_list(root: Path) -> Path:
    """Write what DeepfakeBench lists of the same: two levels, and frames of one."""
    kinds = {"youtube": "FF-real", "Deepfakes": "FF-DF", "Face2Face": "FF-F2F"}
    names = ("train", "train", "train", "val", "test", "test")
    splits = {pair[0]: split for pair, split in zip(PAIRS, names, strict=True)}
    listed: dict = {kind: {} for kind in kinds.values()}
    for level in ("c23", "c40"):
        for (method, name), frames in list_ff(level).items():
            first = min(name.split("_")[0], f"{int(name[:3]) ^ 1:03}")
            of_split = listed[kinds[method]].setdefault(splits[first], {})
            names = ["FaceForensics++\\" + f.replace("/", "\\") for f in frames]
            entry = {"label": kinds[method], "frames": names}
            of_split.setdefault(level, {})[name] = entry
    path = root / "FaceForensics++.json"
    path.write_text(json.dumps({"FaceForensics++": listed}))
    make_ff(root)
    (root / "ff").rename(root / "FaceForensics++")
    return path


def make_celeb(root: Path) -> Path:
    """Write Celeb-DF's folders, and the list of videos for testing."""
    people = range(8)
    videos = [f"Celeb-real/id{who}_{n:04}" for who in people for n in range(2)]
    videos += [
        f"Celeb-synthesis/id{who}_id{who ^ 1}_{n:04}"
        for who in people
        for n in range(2)
    ]
    videos += [f"YouTube-real/{n:05}" for n in range(4)]
    touch(root / "celeb", [f"{name}/{n}.jpg" for name in videos for n in range(2)])
    listed = [n for n in videos if n.split("/")[1][:3] in ("id0", "id1", "000")]
    lines = [f"{int('real' in name)} {name}.mp4" for name in listed]
    (root / "List_of_testing_videos.txt").write_text("\n".join(lines))
    return root / "celeb"


def make_shards(root: Path, kind: str, num: int = 6) -> Path:
    """Write two tar files a split whose labels are in .cls, .json or folders."""
    for shard in range(6):
        split, path = ("train", "val", "test")[shard // 2], root / "shards"
        path.mkdir(exist_ok=True)
        with tarfile.open(path / f"{split}-{shard:04}.tar", "w") as tar:
            for number in range(num):
                label, key = number % 2, f"v{shard}{number // 2}_{number}"
                folder = ("real/", "fake/")[label] if kind == "folder" else ""
                known = {"label": ("real", "gan")[label], "video": key.split("_")[0]}
                content = {"cls": str(label), "json": json.dumps(known)}.get(kind)
                add_member(tar, f"{folder}{key}.jpg", b"picture" + bytes([number]))
                if content:
                    add_member(tar, f"{folder}{key}.{kind}", content.encode())
    return root / "shards"


def add_member(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))
