"""Content credentials of files that the tests sign with certificates of their own."""

import http.server
import io
import json
import struct
import sys
import threading
from pathlib import Path
from unittest.mock import MagicMock

import pytest
from origin_files import (
    FORMATS,
    TRAINED,
    Signer,
    encode,
    encode_texts,
    make_chunk,
    make_signer,
    make_xmp,
    mend_checks,
    read,
)

from loading.origin import credentials
from loading.origin.traces import describe_origin


@pytest.fixture
def signer() -> Signer:
    return make_signer("Ann")


@pytest.fixture
def trusted(signer, tmp_path) -> Path:
    path = tmp_path / "trusted.pem"
    path.write_bytes(signer.authority)
    return path


@pytest.mark.parametrize("kind", FORMATS)
def test_credentials_of_a_signed_file_are_valid_to_those_who_trust(
    kind, signer, trusted, tmp_path
):
    signed = signer.sign(encode(kind), kind)
    others = tmp_path / "others.pem"
    others.write_bytes(make_signer("Bob").authority)
    alone, stranger = read(signed), read(signed, trusted=others)
    assert alone == stranger
    assert alone.credentials == "untrusted signer"
    assert "nobody whom you trust vouches" in " ".join(describe_origin(alone))
    trusting = read(signed, trusted=trusted)
    assert trusting.credentials == "valid"
    assert trusting.signer == "Ann, Ann Ltd"
    assert trusting.claim_generator == "Painter\\x1b 2.0"
    assert trusting.claimed_source_types == (TRAINED,)
    assert trusting.problems == ()
    text = " ".join(describe_origin(trusting))
    assert "valid: Ann, Ann Ltd signed them" in text
    assert "by the program Painter\\x1b 2.0; source type trainedAlgorithmic" in text


@pytest.mark.parametrize("kind", FORMATS)
def test_credentials_of_a_changed_file_are_invalid(kind, signer, trusted):
    signed = bytearray(signer.sign(encode(kind), kind))
    plain = encode(kind)
    place = signed.index(plain[-60:-50])  # among the pixels
    signed[place + 5] ^= 1
    changed = mend_checks(signed) if kind == "PNG" else bytes(signed)
    origin = read(changed, trusted=trusted)
    assert origin.credentials == "invalid"
    assert origin.problems == read(changed).problems == ("assertion.dataHash.mismatch",)
    assert "invalid (assertion.dataHash.mismatch)" in " ".join(describe_origin(origin))


def test_credentials_changed_damaged_or_of_another_picture_are_invalid(signer, trusted):
    signed = signer.sign(encode("PNG"), "PNG")
    claimed = signed.replace(b"Painter", b"Camera!")
    origin = read(mend_checks(claimed), trusted=trusted)
    assert origin.credentials == "invalid"
    assert "claimSignature.mismatch" in origin.problems
    start = signed.index(b"jumb")
    damaged = signed[:start] + b"xxxx" + signed[start + 4 :]
    assert read(mend_checks(damaged)).credentials == "invalid"
    start = signed.index(b"caBX") - 4
    (size,) = struct.unpack(">I", signed[start : start + 4])
    chunk = signed[start : start + 12 + size]
    other = encode_texts({"Title": "another"})
    room = 2**20 - 50 - chunk.index(b"jumdc2pa")  # so that a mebibyte parts this head
    for pad in (b"", make_chunk(b"prVt", bytes(room))):
        forged = other[:33] + pad + chunk + other[33:]
        assert read(forged, trusted=trusted).credentials == "invalid"


def test_credentials_kept_elsewhere_are_never_fetched():
    pytest.importorskip("c2pa", reason="requirements-credentials.txt")
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}/some.c2pa"
        packet = make_xmp(f'dcterms:provenance="{address}"')
        origin = read(encode("JPEG", xmp=packet))
        looked = read(encode("JPEG", xmp=packet, comment=b"jumdc2pa"))
        server.shutdown()
        thread.join()
    assert asked == []
    assert looked.credentials == "none"
    assert (origin.credentials, origin.address) == ("none", address)
    assert f"{address}, which was not asked." in " ".join(describe_origin(origin))


def test_credentials_that_are_only_mentioned_are_none():
    pytest.importorskip("c2pa", reason="requirements-credentials.txt")
    text = {"provenance": "https://example.org", "Title": "jumdc2pa"}
    origin = read(encode_texts(text))
    assert (origin.credentials, origin.address) == ("none", None)
    inside = make_xmp('dcterms:provenance="self#jumbf=c2pa/urn:uuid:1"')
    assert read(encode("JPEG", xmp=inside)).address is None
    cut = encode("JPEG")[:-100]  # its header is whole
    assert (read(cut).format, read(cut).credentials) == ("JPEG", "none")


def test_credentials_without_the_package_are_not_looked_for(monkeypatch):
    monkeypatch.setitem(sys.modules, "c2pa", None)
    origin = read(encode("JPEG"))
    assert origin.credentials == "not looked for: c2pa-python is not installed"
    said = " ".join(describe_origin(origin))
    assert "pip install -r requirements-credentials" in said


def test_credentials_in_a_huge_file_are_not_looked_for(monkeypatch):
    pytest.importorskip("c2pa", reason="requirements-credentials.txt")
    monkeypatch.setattr(credentials, "MOST_SIGNED", 100)
    assert read(encode("JPEG")).credentials.endswith("more than 0 MB")


@pytest.mark.slow
def test_credentials_among_too_many_parts_are_not_looked_for(signer):
    signed = signer.sign(encode("PNG"), "PNG")
    parts = make_chunk(b"aaAa", b"") * 100_000
    assert read(signed[:33] + parts + signed[33:]).credentials == (
        "not looked for: the file has too many parts"
    )


def test_bounded_file_fails_when_it_is_spent(monkeypatch):
    monkeypatch.setattr(credentials, "MOST_CALLS", 2)
    file = credentials._BoundedFile(io.BytesIO(b"abc"))
    assert (file.seek(1), file.read(1), file.tell()) == (1, b"b", 2)
    with pytest.raises(OSError, match="too many calls"):
        file.read(1)


def test_trusted_without_certificates_is_an_error(tmp_path):
    path = tmp_path / "trusted.pem"
    with pytest.raises(FileNotFoundError):
        read(encode("JPEG"), trusted=path)
    for text in ("", "nobody", "-----BEGIN CERTIFICATE-----\nAAAA\n"):
        path.write_text(text)
        with pytest.raises(ValueError, match="holds no certificates"):
            read(encode("JPEG"), trusted=path)


ODD_MANIFEST = {
    "signature_info": {"issuer": 5},
    "claim_generator_info": {},
    "assertions": [{"label": 1}, {"label": "c2pa.actions", "data": {"actions": 3}}],
}
ODD_STORE = {
    "validation_state": "Valid",
    "active_manifest": "a",
    "manifests": {"a": ODD_MANIFEST},
}


@pytest.mark.parametrize(
    ("store", "expected"),
    [
        ("[" * 100_000, "invalid"),
        ("not JSON", "invalid"),
        ("[]", "invalid"),
        ('{"validation_state": {}, "manifests": [1]}', "invalid"),
        ('{"validation_state": "Trusted"}', "untrusted signer"),  # nobody is trusted
        (json.dumps(ODD_STORE), "untrusted signer"),
    ],
)
def test_credentials_of_any_form_are_read(store, expected, monkeypatch):
    fake = MagicMock(C2paError=OSError)
    fake.Reader.return_value.__enter__.return_value.json.return_value = store
    monkeypatch.setitem(sys.modules, "c2pa", fake)
    origin = read(encode("JPEG", comment=b"jumdc2pa"))
    assert origin.credentials == expected
    assert (origin.signer, origin.claimed_source_types) == (None, ())
