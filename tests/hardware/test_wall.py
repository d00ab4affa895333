"""The kernels can be deleted: few lines outside their files import them."""

import re
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
KERNELS = ("fast_xception", "fused_layers", "kernels")
IMPORT = re.compile(
    rf"^\s*(?:from|import) hardware\b.*\b(?:{'|'.join(KERNELS)})\b", re.M
)


def test_kernels_are_imported_by_the_models_alone():
    rooms = [path.parent for path in PROJECT.glob("*/__init__.py")]
    files = [path for folder in (PROJECT, *rooms) for path in folder.glob("*.py")]
    importers = [
        path.relative_to(PROJECT).as_posix()
        for path in files
        if path.stem not in KERNELS
        for _ in IMPORT.findall(path.read_text())
    ]
    assert set(importers) == {"models.py"}
