"""Frames of a video, and who is who in them; start at `frames.py`.

`frames.py`: frames from a process of its own, in which `decoder.py` runs alone.
`tracking.py`: which faces are one person's. `scenes.py`: where a video is cut.
"""
