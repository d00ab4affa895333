"""The scripts that take --full-decoding heed it."""

import pytest
from PIL import Image
from script_helpers import make_checkpoint

import grad_cam_analysis
import numerical_analysis
import predict
import report
import robustness_analysis
import saliency_map
import train_main

SCRIPTS = {
    grad_cam_analysis: ["--figures-dir", "figures"],
    numerical_analysis: ["--figures-dir", "figures", "--resamples", "10"],
    report: ["-o", "report.html", "--resamples", "10"],
    robustness_analysis: ["--figures-dir", "figures"],
    saliency_map: ["--figures-dir", "figures"],
    train_main: ["-m", "SimpleNet", "-e", "1", "--out-dir", "out"],
}


@pytest.fixture
def drafts(monkeypatch) -> list[tuple[int, int]]:
    """The sizes that decoders were asked to keep at least, of formats but JPEG."""
    sizes = []

    def note(image: Image.Image, mode: str | None, size: tuple[int, int]) -> None:
        sizes.append(size)

    monkeypatch.setattr(Image.Image, "draft", note)
    return sizes


@pytest.mark.parametrize("is_full", [True, False])
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.__name__)
def test_main_decodes_whole_where_it_is_told_to(
    script, is_full, drafts, faces_root, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    flags = ["-d", faces_root.name, "--data-root", str(faces_root.parent)]
    flags += ["--limit", "2", "--precision", "fp32", "--workers", "0", *SCRIPTS[script]]
    if script is not train_main:
        flags += ["-cpp", str(make_checkpoint(tmp_path / "net.pt"))]
    script.main([*flags, *(["--full-decoding"] if is_full else [])])
    assert ((512, 512) in drafts) != is_full


@pytest.mark.parametrize("is_full", [True, False])
def test_predict_decodes_whole_where_it_is_told_to(
    is_full, drafts, faces_root, tmp_path
):
    checkpoint = make_checkpoint(tmp_path / "net.pt")
    flags = ["-cpp", str(checkpoint), str(faces_root / "test" / "real")]
    flags += ["--precision", "fp32", "--workers", "0"]
    predict.main([*flags, *(["--full-decoding"] if is_full else [])])
    assert bool(drafts) != is_full


@pytest.mark.parametrize("is_full", [True, False])
def test_explanations_of_own_images_decode_whole_where_they_are_told_to(
    is_full, drafts, faces_root, tmp_path
):
    checkpoint = make_checkpoint(tmp_path / "net.pt")
    image = next((faces_root / "test" / "real").iterdir())
    flags = ["-cpp", str(checkpoint), "--image", str(image), "--precision", "fp32"]
    flags += ["--figures-dir", str(tmp_path), "--workers", "0"]
    saliency_map.main([*flags, *(["--full-decoding"] if is_full else [])])
    assert bool(drafts) != is_full
