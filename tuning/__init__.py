"""What of a network is trained; start at `probe.py`."""
