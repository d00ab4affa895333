"""Is a picture too unfamiliar for a verdict, or a verdict unstable?

Start at `guard.py`: is a picture like the images that the detector was calibrated on,
by `traits.py`? (`fitting.py`: learnt.) `stability.py`: do harmless versions of a
picture get the same verdict?
"""
