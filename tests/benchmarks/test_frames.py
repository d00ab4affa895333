"""Frames of test images: as many of each as asked for, no two alike, named by clip."""

import numpy as np
from frames import main
from PIL import Image

from scores.groups import groups_from_names


def test_every_test_image_becomes_a_clip(faces_root, tmp_path, capsys):
    data = ["--data-root", str(faces_root.parent), "-d", faces_root.name]
    main([*data, "--frames", "3", "--to", str(tmp_path / "clips")])
    made = sorted((tmp_path / "clips" / "test").glob("*/*.jpg"))
    originals = sorted((faces_root / "test").glob("*/*"))
    assert len(made) == 3 * len(originals)
    groups = groups_from_names([path.name for path in made], "(.+)_f[0-9]+")
    assert len(set(groups)) == len(originals)
    first = [np.asarray(Image.open(path).resize((32, 32))) for path in made[:3]]
    assert len({frame.tobytes() for frame in first}) == 3
    assert "frames to" in capsys.readouterr().out
