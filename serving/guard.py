"""Which requests are answered: only those of the page itself."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

MEGA = 1_000_000
VIDEO = "/video"  # where videos are sent
LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob:; "
    "object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True)
class Limits:
    """What may be sent."""

    megabytes: float = 20
    video_megabytes: float = 100
    video_seconds: float = 120

    def get_megabytes(self, path: str) -> float:
        """Return the size of the largest body that is taken at a path."""
        return self.video_megabytes if path == VIDEO else self.megabytes

    def is_exceeded(self, path: str, num_bytes: int) -> bool:
        """Say whether a body is too large."""
        return num_bytes > self.get_megabytes(path) * MEGA


LIMITS = Limits()


def explain_refusal(headers: Mapping[str, str], host: str) -> str | None:
    """Say why a request is not answered; None if it is.

    Otherwise a page from elsewhere, open in the same browser, could use the detector:
    by sending requests to this machine (its Origin gives it away), or by giving its
    own name this machine's address (DNS rebinding; the Host gives it away). `host` is
    the name or address that the server was told to listen at.
    """
    named = headers.get("Host", "")
    if not is_own_host(named, host):
        return f"the page does not answer to the name {named!r:.80}"
    origin = headers.get("Origin")
    if origin is not None and origin.lower() != f"http://{named.lower()}":
        return f"requests from {origin!r:.80} are not answered"
    if headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
        return "requests from other pages are not answered"
    return None


def is_own_host(named: str, host: str) -> bool:
    """Say whether a Host header names this machine.

    It does if it is a local name, or what the server listens at. If that is every
    address, any number will do: only names can be made to lead here.
    """
    try:
        name = urlsplit(f"//{named}").hostname or ""
    except ValueError:
        return False
    if name in (*LOCAL_NAMES, host.lower()):
        return True
    return is_every_address(host) and _is_address(name)


def is_every_address(host: str) -> bool:
    """Say whether a server that listens here can be reached at all its addresses."""
    return _is_address(host) and ipaddress.ip_address(host).is_unspecified


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
