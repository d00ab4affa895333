"""What both scripts that draw maps say of them."""

from command_line import maps

from explaining.shown import Candidate
from hardware import Precision
from judging.detector import Detector
from records.checkpoint import CheckpointRecord


def test_take_checked_says_which_check_a_kind_of_map_failed(tiny_net, capsys):
    checks = {"randomisation": {"passed": True}, "deletion": {"passed": False}}
    entry = {"method": "gradient", "layer": "", "passed": False, "checks": checks}
    detector = Detector(tiny_net(), record=CheckpointRecord(maps=[entry]), layer="conv")
    for kind, expected in (
        (Candidate("grad-cam", "conv"), ""),
        (Candidate("gradient", ""), "failed: deletion"),
    ):
        method = maps.take_checked(detector, kind.build(detector, Precision()))
        assert method.checked == expected
        noted = f"gradient {expected}, on validation" in capsys.readouterr().err
        assert noted == bool(expected)
