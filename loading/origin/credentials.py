"""Content credentials (C2PA): who signed a picture, and whether it changed since.

An optional extra (`requirements-credentials.txt`): the package c2pa-python checks them.
It is told to ask nothing of the network: no manifest that is kept elsewhere, no
revocation (OCSP), no list of whom to trust. Whom to trust is the caller's to say.
"""

import json
import os
import ssl
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any, NamedTuple

from files.names import make_printable
from loading.image_files import ImageFile
from loading.origin.metadata import take_excerpt

MOST_SIGNED = 200_000_000  # bytes; c2pa-python holds some formats in memory
MOST_CALLS = 50_000  # to read or seek; pictures of 20 MB take up to 2,000
MOST_LISTED = 8  # problems, and source types
NONE, VALID, INVALID, UNTRUSTED = "none", "valid", "invalid", "untrusted signer"
NOT_LOOKED_FOR = "not looked for: "  # and why

_HEAD = b"jumdc2pa"  # of each box of credentials (C2PA 2.1, 11.1.4)
_UNTRUSTED = "signingCredential.untrusted"
_OFFLINE = {
    "verify": {
        "verify_trust": True,
        "remote_manifest_fetch": False,
        "ocsp_fetch": False,
    },
    "core": {"allowed_network_hosts": [], "decode_identity_assertions": False},
}


class Credentials(NamedTuple):
    """What a file's credentials say, and whether they hold; texts can be printed.

    Attributes:
        credentials: `NONE`, `VALID`, `INVALID`, `UNTRUSTED` (whole, but nobody who is
            trusted vouches for the signer), or `NOT_LOOKED_FOR` and why.
        problems: codes of why they are invalid: assertion.dataHash.mismatch, ...
        signer: the names in the certificate.
        claim_generator: the program that made them.
        claimed_source_types: IPTC's, of the picture and then of its ingredients:
            trainedAlgorithmicMedia, ...
    """

    credentials: str
    problems: tuple[str, ...] = ()
    signer: str | None = None
    claim_generator: str | None = None
    claimed_source_types: tuple[str, ...] = ()


def load_anchors(path: Path) -> str:
    """Load the certificates to trust; c2pa-python would pass over a broken file.

    Raises:
        ValueError: it holds no certificates.
        FileNotFoundError: there is no such file.
    """
    if path.is_dir() or not path.exists():
        raise FileNotFoundError(
            f"there is no file {make_printable(str(path))}; it is to hold the "
            "certificates to trust, in PEM"
        )
    anchors = path.read_text("ascii", "replace")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=anchors)
    except (ssl.SSLError, ValueError) as error:
        raise ValueError(
            f"{make_printable(str(path))} holds no certificates; it is to hold those "
            "to trust, in PEM: -----BEGIN CERTIFICATE-----"
        ) from error
    return anchors


def read_credentials(file: ImageFile, anchors: str | None = None) -> Credentials:
    """Read and check the credentials of a picture, whatever is in the file.

    Who has a certificate from the `anchors`, in PEM, is trusted; None trusts nobody.

    Raises:
        OSError: the file cannot be read.
    """
    try:
        import c2pa
    except ImportError:
        return Credentials(f"{NOT_LOOKED_FOR}c2pa-python is not installed")
    with file.open() as stream:
        if stream.seek(0, os.SEEK_END) > MOST_SIGNED:
            most = f"{MOST_SIGNED // 10**6} MB"
            return Credentials(f"{NOT_LOOKED_FOR}the file has more than {most}")
        if not _has_head(stream):
            return Credentials(NONE)
        stream.seek(0)
        bounded = _BoundedFile(stream)
        trust = {"trust": {"trust_anchors": anchors}} if anchors else {}
        try:
            with (
                c2pa.Context.from_dict(_OFFLINE | trust) as context,
                c2pa.Reader(None, bounded, context=context) as reader,
            ):
                found = _judge_store(reader.json(), is_trusting=bool(anchors))
        except c2pa.C2paError as error:
            found = _judge_error(str(error))
    if bounded.num_calls > MOST_CALLS:
        return Credentials(f"{NOT_LOOKED_FOR}the file has too many parts")
    return found


def _has_head(stream: IO[bytes]) -> bool:
    """Say whether the head of a box of credentials stands anywhere in a file."""
    stream.seek(0)
    kept = b""
    while block := stream.read(1 << 20):
        if _HEAD in kept + block:
            return True
        kept = block[-len(_HEAD) :]
    return False


class _BoundedFile:
    """A file, as c2pa-python wants it, that fails after `MOST_CALLS` calls.

    Each call comes back to Python: a file of a million parts would take 15 seconds.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self.num_calls = 0
        self._file = file
        self.tell = file.tell

    def read(self, size: int) -> bytes:
        self._count()
        return self._file.read(size)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._count()
        return self._file.seek(offset, whence)

    def write(self, _: bytes) -> int:
        raise OSError("it is only read")

    def flush(self) -> None:
        pass

    def _count(self) -> None:
        self.num_calls += 1
        if self.num_calls > MOST_CALLS:
            raise OSError("too many calls")


def _judge_error(error: str) -> Credentials:
    """Tell a file that only looks as if it held some from broken ones."""
    if error.startswith(("ManifestNotFound", "Remote")):
        return Credentials(NONE)
    return Credentials(INVALID, (take_excerpt(error),))


def _judge_store(text: str, *, is_trusting: bool) -> Credentials:
    """Judge what c2pa-python read and checked."""
    try:
        store = json.loads(text)
    except (ValueError, RecursionError):
        return Credentials(INVALID, ("they cannot be parsed",))
    manifests = _get(store, "manifests")
    active = _get(manifests, _get(store, "active_manifest"))
    states = {"Trusted": VALID if is_trusting else UNTRUSTED, "Valid": UNTRUSTED}
    state = states.get(str(_get(store, "validation_state")), INVALID)
    names = (_get(active, "signature_info", key) for key in ("common_name", "issuer"))
    return Credentials(
        state,
        problems=_list_problems(store) if state == INVALID else (),
        signer=_join(names, ", "),
        claim_generator=_name_claim_generator(active),
        claimed_source_types=_list_source_types(active, manifests),
    )


def _get(value: object, *keys: object) -> Any:
    """Go down into what was parsed; None where its form is another."""
    for key in keys:
        if isinstance(value, dict) and isinstance(key, str):
            value = value.get(key)
        elif isinstance(value, list) and key == 0 and value:
            value = value[0]
        else:
            return None
    return value


def _list(value: object) -> list:
    return value if isinstance(value, list) else []


def _keep_texts(values: Iterable[object]) -> tuple[str, ...]:
    """Return those values that are texts, each once, to be shown."""
    texts = (take_excerpt(v) for v in values if isinstance(v, str))
    return tuple(dict.fromkeys(filter(None, texts)))[:MOST_LISTED]


def _join(values: Iterable[object], separator: str) -> str | None:
    """Join those that are texts; None where none is."""
    return separator.join(_keep_texts(values)) or None


def _list_problems(store: object) -> tuple[str, ...]:
    """Return the codes of what failed, but for that the signer is unknown."""
    codes = [_get(status, "code") for status in _list(_get(store, "validation_status"))]
    return _keep_texts(code for code in codes if code != _UNTRUSTED)


def _name_claim_generator(manifest: object) -> str | None:
    """Return the program's name and version, or what claims before C2PA 2.0 have."""
    info = _get(manifest, "claim_generator_info", 0)
    name = _join((_get(info, key) for key in ("name", "version")), " ")
    return name or _join([_get(manifest, "claim_generator")], "")


def _list_source_types(active: object, manifests: object) -> tuple[str, ...]:
    """Return the source types of all actions, those of the picture itself first."""
    every_manifest = manifests.values() if isinstance(manifests, dict) else ()
    return _keep_texts(
        shorten_source_type(_get(action, "digitalSourceType"))
        for manifest in (active, *every_manifest)
        for assertion in _list(_get(manifest, "assertions"))
        if str(_get(assertion, "label")).startswith("c2pa.actions")
        for action in _list(_get(assertion, "data", "actions"))
    )


def shorten_source_type(uri: object) -> str | None:
    """Return the last word of the address that a digital source type is."""
    if not isinstance(uri, str):
        return None
    return take_excerpt(uri.strip().rstrip("/").rpartition("/")[2]) or None
