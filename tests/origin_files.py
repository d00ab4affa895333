"""Files that say something of themselves: what made them, or how large they are."""

import datetime
import functools
import io
import json
import struct
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from loading.image_files import ImageFile
from loading.origin.traces import Origin, read_origin

FORMATS = ("JPEG", "PNG", "WEBP")
IPTC = "http://cv.iptc.org/newscodes/digitalsourcetype/"
TRAINED = "trainedAlgorithmicMedia"
PARAMETERS = "a cat\nNegative prompt: dog\nSteps: 20, Sampler: Euler a, Seed: 1"
PROMPT = json.dumps({"3": {"inputs": {"seed": 5}, "class_type": "KSampler"}})
WORKFLOW = json.dumps({"last_node_id": 9, "nodes": [{"id": 3}]})

MANIFEST = {  # that is signed
    "claim_generator_info": [{"name": "Painter\x1b", "version": "2.0"}],
    "assertions": [
        {
            "label": "c2pa.actions.v2",
            "data": {
                "actions": [
                    {"action": "c2pa.created", "digitalSourceType": IPTC + TRAINED}
                ]
            },
        }
    ],
}


def encode(kind: str, **options: Any) -> bytes:
    """Encode a small picture, which is not a square."""
    pixels = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def encode_texts(texts: dict[str, str], **options: Any) -> bytes:
    info = PngImagePlugin.PngInfo()
    for name, text in texts.items():
        info.add_text(name, text, **options)
    return encode("PNG", pnginfo=info)


def make_exif(**texts: str | bytes | int) -> bytes:
    """Return a block of EXIF with tags by their names."""
    exif = Image.Exif()
    inner = {"DateTimeOriginal": 0x9003, "UserComment": 0x9286}
    outer = {"Make": 271, "Model": 272, "Orientation": 274, "Software": 305}
    for name, text in texts.items():
        if name in inner:
            exif.get_ifd(0x8769)[inner[name]] = text
        else:
            exif[outer[name]] = text
    return exif.tobytes()


def make_xmp(attributes: str = "", elements: str = "", head: str = "") -> bytes:
    """Return an XMP packet that describes a picture."""
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        f'{head}<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
        'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:dcterms="http://purl.org/dc/terms/" '
        'xmlns:xmp="http://ns.adobe.com/xap/1.0/" '
        'xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" '
        'xmlns:i="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
        f"{attributes}>{elements}</rdf:Description></rdf:RDF></x:xmpmeta>"
        '<?xpacket end="w"?>'
    ).encode()


def encode_xmp(kind: str, packet: bytes) -> bytes:
    if kind == "PNG":
        info = PngImagePlugin.PngInfo()
        info.add_itxt("XML:com.adobe.xmp", packet.decode())
        return encode("PNG", pnginfo=info)
    if kind == "TIFF":
        return encode("TIFF", tiffinfo={700: packet})
    return encode(kind, xmp=packet)


def make_chunk(kind: bytes, content: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + check


def make_huge_png(width: int, height: int) -> bytes:
    """Return a small PNG that claims to have so many pixels."""
    size = struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", size), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(make_chunk(*part) for part in parts)


def mend_checks(data: bytes) -> bytes:
    """Compute the check sums of a PNG again, without which no program opens it."""
    start, mended = 8, data[:8]
    while start < len(data):
        (size,) = struct.unpack(">I", data[start : start + 4])
        end = start + 8 + size
        mended += make_chunk(data[start + 4 : start + 8], data[start + 8 : end])
        start = end + 4
    return mended


def put_before(chunk: bytes, kind: bytes) -> bytes:
    """Put a chunk into a PNG, before its first one of a kind."""
    data = encode("PNG")
    place = data.index(kind) - 4
    return data[:place] + chunk + data[place:]


def read(data: bytes, **options: Any) -> Origin:
    return read_origin(ImageFile("a picture", data), **options)


class Signer(NamedTuple):
    """Somebody who signs."""

    sign: Callable[[bytes, str], bytes]  # a picture and its kind -> the same, signed
    authority: bytes  # the certificate that vouches for the signer's, in PEM


def make_certificate(name: str, issuer: Any = None) -> tuple[Any, Any]:
    """Return a certificate and its key; an authority's own, or one that it issued."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    is_authority = issuer is None
    subject = x509.Name(
        [
            x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, f"{name} Ltd"),
            x509.NameAttribute(x509.NameOID.COMMON_NAME, name),
        ]
    )
    above, above_key = issuer or (None, key)
    now, day = datetime.datetime.now(datetime.timezone.utc), datetime.timedelta(days=1)
    usage = dict.fromkeys(
        (
            *("content_commitment", "key_encipherment", "data_encipherment"),
            *("key_agreement", "encipher_only", "decipher_only"),
        ),
        False,
    )
    usage |= {"digital_signature": not is_authority}
    usage |= dict.fromkeys(("key_cert_sign", "crl_sign"), is_authority)
    above_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(
        above_key.public_key()
    )
    builder = (
        x509.CertificateBuilder(above.subject if above else subject, subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(x509.BasicConstraints(is_authority, None), critical=True)
        .add_extension(x509.KeyUsage(**usage), critical=True)
        .add_extension(above_id, critical=False)
    )
    if not is_authority:
        purpose = x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.EMAIL_PROTECTION])
        builder = builder.add_extension(purpose, critical=False)
    return builder.sign(above_key, hashes.SHA256()), key


@functools.cache
def make_signer(name: str) -> Signer:
    """Return a signer with an authority of their own; skip without the packages."""
    c2pa = pytest.importorskip("c2pa", reason="requirements-credentials.txt")
    authority = make_certificate(f"{name}'s authority")
    certificate, key = make_certificate(name, authority)
    from cryptography.hazmat.primitives import serialization

    pem = serialization.Encoding.PEM
    chain = [c.public_bytes(pem) for c in (certificate, authority[0])]
    secret = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )

    def sign(data: bytes, kind: str) -> bytes:
        signed = io.BytesIO()
        info = c2pa.C2paSignerInfo(b"es256", b"".join(chain), secret, None)
        with c2pa.Signer.from_info(info) as one, c2pa.Builder(MANIFEST) as builder:
            builder.sign(one, f"image/{kind.lower()}", io.BytesIO(data), signed)
        return signed.getvalue()

    return Signer(sign, chain[1])
