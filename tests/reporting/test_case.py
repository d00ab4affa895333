"""A case report: what it says, what it escapes, and what it bounds."""

import html
import itertools
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from browser import find_violations, listen
from PIL import Image
from script_helpers import make_checkpoint

from hardware import Precision
from judging.detector import Detector
from judging.pictures import InputSpec, Picture, Reading, collate_pictures, read_picture
from judging.verdicts import Verdict, judge_batches
from loading import ImageFile
from loading.face_finding import Face
from reporting import case
from reporting.case import Case, list_facts, open_case
from utils import load_checkpoint

pytestmark = pytest.mark.usefixtures("small_simple_net")
CALL = ("predict.py", ["--report", "case.html"])
FACE = Face((10, 20, 90, 120), 0.9, ())


@pytest.fixture(scope="module")
def detector(tmp_path_factory, small_simple_net) -> Detector:
    entries = {
        "reliability": [[0.0, 1.0, 20, 50]],
        "reliability_split": "test",
        "errors": {"none": [100, 5, 50, 1], "face=96": [100, 9, 50, 7]},
        "kept_conditions": ["none"],
        **{"dataset": "some faces", "llr_lower": -9.0},
        **{"llr_slope": 1.0, "llr_intercept": 0.0, "llr_upper": math.log(9)},
    }
    path = tmp_path_factory.mktemp("checkpoints") / "net.pt"
    return load_checkpoint(make_checkpoint(path, temperature=10.0, **entries))


def judge(path: Path, *detectors: Detector) -> list[list[Verdict]]:
    """The verdicts on a whole picture."""
    specs = [InputSpec.of(detector) for detector in detectors]
    reading = Reading(faces=False, with_origin=True)
    read = read_picture(ImageFile(path), specs, reading)
    judged = judge_batches([collate_pictures(read)], detectors, Precision())
    return [verdicts for _, verdicts in judged]


@pytest.fixture
def hostile(tmp_path) -> Path:
    """A picture whose name and texts are HTML, and obey a terminal."""
    exif = Image.Exif()
    exif[0x0110] = "<img src=x onerror=alert(1)>"  # the camera's model
    exif[0x0131] = "\x1b[2J{{ 7 * 7 }}<b>"  # the software
    path = tmp_path / "<script>alert(1)<\\script>\x1b[2J.jpg"
    Image.effect_noise((64, 64), 90).convert("RGB").save(path, exif=exif, quality=80)
    return path


def test_case_says_what_was_judged_by_whom_and_what_it_is_worth(detector, faces_root):
    path = faces_root / "test" / "fake" / "00.png"
    faces = judge(path, detector)
    case_ = Case([detector], Precision(), CALL)

    case_.add(ImageFile(path), faces)

    page = html.unescape(case_.render()).replace("\N{NO-BREAK SPACE}", " ")
    verdict = faces[0][0]
    for said in (
        *("Case report: 1 picture<", "examined by", "checked by"),
        *(verdict.picture.origin.sha256, verdict.picture.examined, "it is not a JPEG"),
        *("24 x 24", detector.provenance["sha256"], str(detector.path)),
        *("Of the test images, which chose nothing", "20 of 50 (95 % interval 26 to 5"),
        *("Nobody checked whether it shows a face", "It holds no content credentials"),
        *("absence proves nothing", "python predict.py --report case.html"),
        *("real ones called fake</th>", ">5 of 100, 5.0"),
        *(">with a crop of only 96 pixels</th>", "calibrate.py adds it"),
        *("computed in</th><td>fp32, on the device cpu", "precision, versions"),
        *("fakes like those of some faces", "evidence to weigh, not proof"),
        "between the bounds, harmless versions get the opposite verdict, or a video's",
    ):
        assert said in page, said
    assert ">1 of 50, 2.0" in page
    assert page.count("how it was qualified") == 1  # the conditions are a table
    assert page.count("data:image/jpeg;base64,") == 4
    assert not re.search(r'(src|href)="(?!data:|#)', page)  # it needs no other file


def test_case_escapes_what_files_say(detector, hostile):
    case_ = Case([detector], Precision(), CALL)
    case_.add(ImageFile(hostile), judge(hostile, detector))
    case_.refuse("there is no image in the folder <i>\n")

    page = case_.render()

    for tag in ("<script", "<img src=x", "<b>", "<i>"):
        assert tag not in page
    for said in ("&lt;script&gt;", "&lt;img src=x", "&lt;i&gt;\\n", "{{ 7 * 7 }}"):
        assert said in page
    assert "\x1b" not in page


def make_verdict(detector: Detector, **entries) -> Verdict:
    """A verdict that is not withheld, with some entries changed."""
    picture = Picture("a.png", 200, 200)
    known = {"lowest": 0.7, "highest": 0.95, "condition": "none", "llr": math.log(9)}
    return replace(Verdict(picture, detector, 0.9, 2.0, **known), **entries)


def test_list_facts_gives_ratio_bound_and_errors_of_this_kind(detector):
    facts = dict(list_facts(make_verdict(detector)))

    assert facts["verdict"] == "fake"
    assert facts["what was judged"] == "all of it: 200 x 200 pixels"
    assert facts["kind of picture"] == (
        "most like validation images as they are; 200 pixels a side"
    )
    assert facts["P(fake)"] == (
        "0.900; from 0.700 to 0.950 for it and its harmless versions, none with the "
        "opposite verdict; called fake at or above P(fake) = 0.5 (the default, as the "
        "checkpoint has none of its own)"
    )
    turned = dict(list_facts(make_verdict(detector, flips=("JPEG 70", "mirrored"))))
    assert "versions, 2 with the opposite verdict; called" in turned["P(fake)"]
    assert (
        "9 to 1, fake over real: weak support for 'fake' (at its bound"
        in (facts["likelihood ratio"])
    )
    assert "5 of 100 (95 % interval 2 to 11 %)" in facts["errors on this kind"]
    small = dict(list_facts(make_verdict(detector, condition="face=96", llr=None)))
    assert "9 of 100 (95 % interval" in small["errors on this kind"]
    assert "with a crop of only 96 pixels" in small["kind of picture"]
    assert small["likelihood ratio"].startswith("There is no likelihood ratio")


def test_list_facts_of_what_is_unlike_all_withholds_the_score(detector):
    face = FACE._replace(quarter_turns=1)
    picture = Picture("a.png", 200, 200, num_faces=2, number=2, face=face)
    verdict = make_verdict(detector, picture=picture, doubts=("it is odd",), llr=None)

    facts = dict(list_facts(verdict))

    assert (facts["verdict"], facts["why"]) == ("inconclusive", "it is odd")
    assert facts["P(fake)"].startswith("not given: ")
    assert facts["errors on this kind"] == "not known for such pictures"
    assert "images with such a score" not in facts
    assert "at 10,20 to 90,120, about" in facts["what was judged"]
    assert facts["what was judged"].endswith("turned by 90 degrees")


def make_faces(detector: Detector, num: int) -> list[list[Verdict]]:
    """Verdicts on so many faces of a picture."""
    sample = np.zeros((64, 64, 3), np.uint8)
    picture = Picture("a.png", 200, 200, num_faces=num, face=FACE)
    return [
        [make_verdict(detector, picture=picture._replace(number=n + 1), sample=sample)]
        for n in range(num)
    ]


def test_case_of_many_faces_is_bounded_and_shows_how_far_its_maps_are(
    detector, tmp_path, monkeypatch
):
    monkeypatch.setattr(case, "MOST_MAPS", 3)
    monkeypatch.setattr(case, "MOST_PICTURES", 2)
    monkeypatch.setattr(case, "show_progress", lambda *a: shown.append(a) or a[0])
    shown, faces = [], make_faces(detector, 2)
    Image.new("RGB", (200, 200)).save(tmp_path / "a.png")
    case_ = Case([detector], Precision(), CALL)

    for _ in range(2):
        case_.add(ImageFile(tmp_path / "a.png"), faces)
    with pytest.raises(ValueError, match="at most 2 pictures"):
        case_.add(ImageFile(tmp_path / "a.png"), faces)

    assert shown == [(faces, "maps")] * 2
    page = case_.render()
    assert page.count("data:image/jpeg;base64,") == 2 + 3 * 3
    assert page.count("No maps: a case shows those of 3 faces.") == 1
    said = "2 faces, 2 called fake, 0 called real; in "
    assert page.count(said) == 2


def test_open_case_writes_nothing_after_an_error(detector, tmp_path):
    path = tmp_path / "case.html"
    with pytest.raises(RuntimeError), open_case(path, [detector], Precision(), CALL):
        raise RuntimeError
    assert not path.exists()
    with open_case(path, [detector], Precision(), CALL) as case_:
        case_.refuse("there is no image in the folder x")
    assert "there is no image in the folder x" in path.read_text()


def test_open_case_keeps_earlier_pages(detector, tmp_path):
    path, told = tmp_path / "case.html", []
    for reason in ("first", "second", "third"):
        options = {"tell": told.append}
        with open_case(path, [detector], Precision(), CALL, **options) as case_:
            case_.refuse(f"it is the {reason}")
    names = ["case.1.html", "case.2.html"]
    assert told == [f"kept an earlier report as {tmp_path / name}" for name in names]
    for name, reason in zip(
        [*names, "case.html"], ["first", "second", "third"], strict=True
    ):
        assert f"it is the {reason}" in (tmp_path / name).read_text()


def test_case_counts_what_folders_hold_that_was_passed_over(detector, tmp_path):
    case_ = Case([detector], Precision(), CALL)
    for name in ("b.txt", "a.TXT", "c.pdf", "README"):
        case_.pass_over(tmp_path / name)
    assert (
        "4 files, as their names are not those of pictures: 2 .txt, 1 .pdf, 1 with"
        in (case_.render())
    )
    case_.pass_over(tmp_path)
    page = case_.render()
    assert "1 subfolder, not entered" in page
    assert "everything that was named has a verdict" not in page


def test_case_notes_what_files_are(detector, tmp_path):
    frames = [Image.new("RGB", (64, 64), color) for color in ("red", "blue")]
    paths = [tmp_path / name for name in ("a.gif", "b.gif", "c.png", "d.jpg")]
    exif = Image.Exif()
    exif[0x0131] = "AI generated"  # the software
    frames[0].save(paths[0], save_all=True, append_images=frames[1:])
    for path in paths[1:3]:
        frames[0].save(path, "JPEG")
    Image.new("RGB", (200, 100)).save(paths[3], exif=exif)
    case_ = Case([detector], Precision(), CALL)
    for path in paths:
        case_.add(ImageFile(path), judge(path, detector))

    page = html.unescape(case_.render()).replace("\N{NO-BREAK SPACE}", " ")

    said = page.partition("What was said")[2].partition("Who examined")[0]
    assert said.count("several frames: only the first was judged") == 1
    assert said.count("its file says that it was generated: see below") == 1
    assert page.count("Its file says that it was generated: see below.") == 1
    assert said.count("the same bytes as picture 2") == 1
    assert "not a face crop: 200 x 100" in said
    assert said.count("not looked for") == 4
    assert page.count("JPEG; its name says") == 2
    assert "JPEG; its name says GIF" in page


def test_case_lists_why_pictures_were_refused(detector, tmp_path):
    paths = [tmp_path / "broken.png", tmp_path / "none.png", tmp_path / "wide.png"]
    paths[0].write_bytes(b"text")
    Image.new("RGB", (200, 100)).save(paths[2])
    case_ = Case([detector], Precision(), CALL)
    for path in paths:
        case_.add(ImageFile(path), judge(path, detector))

    page = html.unescape(case_.render())

    refused = page.partition("What was refused, and why")[2].partition("Who judged")[0]
    assert "not an image file that Pillow knows" in refused
    assert "there is no such file" in refused
    assert "not a face crop: 200 x 100" in refused
    assert [refused.count(str(path)) for path in paths] == [2, 2, 1]
    assert page.count("Not judged:") == 2
    assert page.count('"><span class="called">not judged</span>') == 2
    assert "<h1>Case report: 1 picture, 2 not judged</h1>" in page
    assert page.count("SHA-256 of its bytes") == 2  # of the broken one, too


@pytest.mark.slow
def test_page_shows_all_and_breaks_no_rule_of_accessibility(
    browser_page, detector, hostile, tmp_path
):
    Image.new("RGB", (200, 200)).save(tmp_path / "a.png")
    with open_case(tmp_path / "c.html", [detector], Precision(), CALL) as case_:
        case_.add(ImageFile(hostile), judge(hostile, detector))
        case_.add(ImageFile(tmp_path / "a.png"), make_faces(detector, 2))
    page, heard = browser_page, listen(browser_page)

    page.goto((tmp_path / "c.html").as_uri())

    page.wait_for_function("[...document.images].every(image => image.complete)")
    assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
    for width, scheme in itertools.product((1280, 390), ("light", "dark")):
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert find_violations(page) == []
    assert [text for text in heard if not text.startswith(("file:", "data:"))] == []
