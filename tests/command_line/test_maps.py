"""What both scripts that draw maps say of them."""

from command_line import maps

from judging.detector import Detector
from records.checkpoint import CheckpointRecord


def test_say_failed_names_the_check_that_a_kind_of_map_failed(tiny_net, capsys):
    checks = {"randomisation": {"passed": True}, "deletion": {"passed": False}}
    entry = {"method": "gradient", "layer": "", "passed": False, "checks": checks}
    detector = Detector(tiny_net(), record=CheckpointRecord(maps=[entry]))
    maps.say_failed(detector, "grad-cam", "conv")
    assert capsys.readouterr().err == ""
    maps.say_failed(detector, "gradient")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("note: for this detector gradient failed the check 'delet")
