"""Which requests are answered."""

import pytest

from serving.guard import explain_refusal


@pytest.mark.parametrize(
    ("headers", "host", "is_answered"),
    [
        ({"Host": "127.0.0.1:8000"}, "127.0.0.1", True),
        ({"Host": "LOCALHOST:8000"}, "127.0.0.1", True),
        ({"Host": "[::1]:8000"}, "127.0.0.1", True),
        ({"Host": "localhost"}, "127.0.0.1", True),
        # DNS rebinding: a name that leads here, in a page from elsewhere.
        ({"Host": "evil.example:8000"}, "127.0.0.1", False),
        ({"Host": "127.0.0.1.evil.example"}, "127.0.0.1", False),
        ({"Host": "evil.example@localhost.evil.example"}, "127.0.0.1", False),
        ({"Host": "[nonsense"}, "127.0.0.1", False),
        ({"Host": ""}, "127.0.0.1", False),
        ({}, "127.0.0.1", False),
        ({"Host": "192.168.1.5:8000"}, "127.0.0.1", False),
        # Other machines, if --host lets them in: by number, or by the name given.
        ({"Host": "192.168.1.5:8000"}, "0.0.0.0", True),
        ({"Host": "[fe80::1]:8000"}, "::", True),
        ({"Host": "evil.example:8000"}, "0.0.0.0", False),
        ({"Host": "mybox:8000"}, "mybox", True),
        ({"Host": "localhost:8000", "Origin": "http://localhost:8000"}, "", True),
        ({"Host": "localhost:8000", "Origin": "http://localhost:9000"}, "", False),
        ({"Host": "localhost:8000", "Origin": "https://localhost:8000"}, "", False),
        ({"Host": "localhost:8000", "Origin": "http://evil.example"}, "", False),
        ({"Host": "localhost:8000", "Origin": "http://localhost:8000.evil"}, "", False),
        ({"Host": "localhost:8000", "Origin": "null"}, "", False),
        ({"Host": "localhost", "Sec-Fetch-Site": "same-origin"}, "", True),
        ({"Host": "localhost", "Sec-Fetch-Site": "none"}, "", True),
        ({"Host": "localhost", "Sec-Fetch-Site": "same-site"}, "", False),
        ({"Host": "localhost", "Sec-Fetch-Site": "cross-site"}, "", False),
    ],
)
def test_explain_refusal(headers, host, is_answered):
    assert (explain_refusal(headers, host) is None) == is_answered
