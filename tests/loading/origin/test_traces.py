"""What a file says of itself: its format, camera, source and generators."""

import hashlib
from dataclasses import replace

import pytest
from origin_files import (
    FORMATS,
    IPTC,
    PARAMETERS,
    PROMPT,
    TRAINED,
    WORKFLOW,
    encode,
    encode_texts,
    encode_xmp,
    make_chunk,
    make_exif,
    make_xmp,
    put_before,
    read,
)

from loading.image_files import ImageFile, read_image_and_size
from loading.origin import metadata
from loading.origin.traces import (
    ABSENCE,
    describe_generation,
    describe_origin,
    read_origin,
)


@pytest.mark.parametrize("kind", [*FORMATS, "TIFF", "BMP", "GIF"])
def test_read_origin_measures_the_file_by_its_content(kind, tmp_path):
    data = encode(kind)
    path = tmp_path / "called.jpg"
    path.write_bytes(data)
    origin = read_origin(path)
    assert (origin.format, origin.width, origin.height) == (kind, 64, 48)
    assert origin.num_bytes == len(data)
    assert origin.sha256 == hashlib.sha256(data).hexdigest()
    missing = "not looked for: c2pa-python is not installed"
    assert origin.credentials in ("none", missing)
    assert (origin.camera, origin.source_type, origin.generators) == (None, None, ())
    assert origin == read(data)


@pytest.mark.parametrize("kind", [*FORMATS, "TIFF", "AVIF", "HEIF"])
def test_read_origin_gives_the_size_upright(kind):
    if kind == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    for orientation in (1, 3, 6, 8):
        data = encode(kind, exif=make_exif(Orientation=orientation))
        origin = read(data)
        upright, size = read_image_and_size(ImageFile("a picture", data))
        assert (origin.width, origin.height) == size == upright.size


def test_read_origin_of_what_is_no_picture_says_so():
    origin = read(b"GIF87a, or is it?")
    assert origin.format is origin.width is origin.jpeg_quality is None
    assert origin.credentials.endswith("the file cannot be opened as a picture")
    said = describe_origin(origin)
    assert said[0] == "The file has 17 bytes and cannot be opened as a picture."
    said = describe_origin(read_origin(ImageFile("a.MP4", b"GIF87a, or is it?")))
    assert said[0] == "The file is named as a video and has 17 bytes."
    assert said[2].endswith("were not looked for: the file is a video.")


def test_read_origin_of_no_file_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="cannot read the image .*no such file"):
        read_origin(tmp_path / "missing.jpg")


@pytest.mark.parametrize("kind", [*FORMATS, "TIFF", "AVIF", "HEIF"])
def test_read_origin_names_camera_software_and_time(kind):
    if kind == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    tags = {"Make": "Canon", "Model": "Canon EOS R5", "Software": "Firmware 1.8"}
    if kind != "TIFF":  # Pillow writes no inner directory there
        tags["DateTimeOriginal"] = "2024:01:31 12:00:00"
    origin = read(encode(kind, exif=make_exif(**tags)))
    assert origin.camera == "Canon EOS R5"
    assert origin.software == "Firmware 1.8"
    assert origin.taken == tags.get("DateTimeOriginal")
    assert origin.generators == ()
    assert "It names the camera Canon EOS R5." in describe_origin(origin)


def test_read_origin_puts_a_make_before_a_model_without_it():
    exif = make_exif(Make="FUJIFILM", Model="X-T5")
    assert read(encode("JPEG", exif=exif)).camera == "FUJIFILM X-T5"
    assert read(encode("JPEG", exif=make_exif(Make="Sony"))).camera == "Sony"


@pytest.mark.parametrize("kind", [*FORMATS, "TIFF"])
@pytest.mark.parametrize(
    "packet",
    [
        make_xmp(f'i:DigitalSourceType="{IPTC}{TRAINED}"'),
        make_xmp("", f"<i:DigitalSourceType>\n{IPTC}{TRAINED}\n</i:DigitalSourceType>"),
        make_xmp("", f'<i:DigitalSourceType rdf:resource="{IPTC}{TRAINED}"/>'),
        make_xmp(f'i:DigitalSourceType="{IPTC}{TRAINED}"', "<broken>"),
    ],
    ids=["attribute", "element", "resource", "broken behind it"],
)
def test_read_origin_finds_the_source_type_in_xmp(kind, packet):
    origin = read(encode_xmp(kind, packet))
    assert origin.source_type == TRAINED
    said = " ".join(describe_origin(origin))
    assert f"source type {TRAINED} (made by a trained model)" in said


def test_read_origin_goes_by_namespaces_not_by_words():
    fakes = make_xmp(
        f'xmp:DigitalSourceType="{IPTC}{TRAINED}" xmp:CreatorTool="GIMP 2.10"',
        f"<xmp:Label>DigitalSourceType=&quot;{TRAINED}&quot;</xmp:Label>",
    )
    origin = read(encode_xmp("JPEG", fakes))
    assert (origin.source_type, origin.software) == (None, "GIMP 2.10")
    pasted = encode("JPEG", comment=make_xmp(f'i:DigitalSourceType="{TRAINED}"'))
    assert read(pasted).source_type is None


@pytest.mark.parametrize(
    ("texts", "program"),
    [
        ({"parameters": PARAMETERS}, "AUTOMATIC1111"),
        ({"parameters": '{"sui_image_params": {"seed": 1}}'}, "SwarmUI"),
        ({"fooocus_scheme": "fooocus"}, "Fooocus"),
        ({"prompt": PROMPT}, "ComfyUI"),
        ({"workflow": WORKFLOW}, "ComfyUI"),
        ({"Dream": '"a cat" -s 50 -S 1'}, "InvokeAI"),
        ({"sd-metadata": "{}"}, "InvokeAI"),
        ({"invokeai_metadata": "{}"}, "InvokeAI"),
        ({"Software": "NovelAI"}, "NovelAI"),
        ({"Comment": '{"prompt": "a cat", "steps": 28, "uc": "dog"}'}, "NovelAI"),
        ({"Description": "a cat --v 6 Job ID: 0a1b2c3d-0000"}, "Midjourney"),
    ],
)
@pytest.mark.parametrize("options", [{}, {"zip": True}], ids=["plain", "packed"])
def test_read_origin_knows_what_generators_write_into_pngs(texts, program, options):
    (name, text), *_ = texts.items()
    (trace,) = read(encode_texts(texts, **options)).generators
    assert program in trace.program
    assert trace.place == f'PNG text "{name}"'
    assert trace.text == " ".join(text.split())


def test_read_origin_knows_generators_by_exif_and_xmp():
    comment = b"UNICODE\0" + PARAMETERS.encode("utf-16-be")
    (trace,) = read(encode("JPEG", exif=make_exif(UserComment=comment))).generators
    assert trace.place == 'EXIF "UserComment"'
    assert trace.text.startswith("a cat Negative prompt: dog Steps: 20")
    credit = "<photoshop:Credit>Made with Google AI</photoshop:Credit>"
    google = make_xmp(elements=credit)
    (trace,) = read(encode_xmp("WEBP", google)).generators
    assert (trace.program, trace.text) == ("Google's models", "Made with Google AI")
    tool = read(encode_xmp("JPEG", make_xmp('xmp:CreatorTool="Adobe Firefly"')))
    assert [t.program for t in tool.generators] == ["Adobe Firefly"]
    flux = read(encode("JPEG", exif=make_exif(Software="AI generated;txt2img;flux")))
    assert [t.place for t in flux.generators] == ['EXIF "Software"']


def test_read_origin_reads_what_is_padded_and_what_is_in_latin_1():
    exif = make_exif(Make="Canon", Software="Café".encode("latin-1"))
    data = encode("JPEG", exif=exif)
    origin = read(data[:2] + b"\xff" + data[2:])
    assert (origin.camera, origin.software) == ("Canon", "Café")
    packet = make_xmp(f'i:DigitalSourceType="{TRAINED}"')
    odd = exif + bytes(1 - len(exif) % 2)
    assert read(encode("WEBP", exif=odd, xmp=packet)).source_type == TRAINED


def test_read_origin_does_not_take_a_text_for_exif_or_xmp():
    texts = {"Model": "SDXL", "Orientation": "6", "DigitalSourceType": TRAINED}
    origin = read(encode_texts(texts))
    assert (origin.camera, origin.source_type, origin.width) == (None, None, 64)


def test_read_origin_does_not_take_a_graph_for_a_camera():
    exif = make_exif(Make=f"workflow:{WORKFLOW}", Model=f"prompt:{PROMPT}")
    origin = read(encode("WEBP", exif=exif))
    assert origin.camera is None
    assert [trace.program for trace in origin.generators] == ["ComfyUI", "ComfyUI"]


@pytest.mark.parametrize(
    "texts",
    [
        {"parameters": "focal length 35 mm"},
        {"prompt": "name?"},
        {"workflow": "scan, crop"},
        {"Comment": "Created with GIMP"},
        {"Description": "a job for Midjourney"},
        {"Software": "Adobe Photoshop 25.0"},
    ],
)
def test_read_origin_takes_no_other_text_for_a_generator(texts):
    assert read(encode_texts(texts)).generators == ()


def test_read_origin_finds_texts_behind_the_pixels():
    text = make_chunk(b"tEXt", b"parameters\0" + PARAMETERS.encode())
    assert len(read(put_before(text, b"IEND")).generators) == 1


def test_describe_origin_bounds_texts_and_makes_them_printable():
    evil = "\x1b[2J\u202e<b>" + "x" * 500
    exif = make_exif(Make=evil, Model=evil * 9, Software=evil.encode())
    origin = read(encode("PNG", exif=exif))
    assert origin.software.startswith("\\x1b[2J\\u202e<b>xx")
    assert origin.software.endswith("x…")
    assert max(len(origin.software), len(origin.camera)) <= metadata.MOST_SHOWN
    assert all(line.isprintable() for line in describe_origin(origin))


def test_describe_origin_ends_with_what_absence_proves():
    lines = describe_origin(read(encode("JPEG", quality=85)))
    assert "64 x 48 pixels" in lines[0]
    assert lines[0].endswith("saved at a quality of about 85.")
    assert lines[-1] == ABSENCE
    assert "absence proves nothing" in ABSENCE
    assert len(lines) == 4  # the file, its SHA-256, no credentials


PARTLY = "compositeWithTrainedAlgorithmicMedia"


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ({}, None),
        ({"source_type": "digitalCapture"}, None),
        ({"source_type": TRAINED}, "that it was"),
        ({"source_type": PARTLY}, "that it, or a part of it, was"),
        ({"claimed_source_types": (TRAINED,)}, "that it was"),
        ({"claimed_source_types": ("digitalCapture", TRAINED)}, "that it, or a part"),
        ({"claimed_source_types": (TRAINED,), "credentials": "invalid"}, None),
        ({"generators": ("a trace",)}, "that it was"),
        ({"generators": ("a trace",), "source_type": PARTLY}, "that it, or a part"),
    ],
)
def test_describe_generation_says_what_a_file_says(known, expected):
    said = describe_generation(replace(read(encode("PNG")), **known))
    assert said is None if expected is None else f"says {expected}" in said
    assert describe_generation(None) is None
