"""May this picture have a verdict? Start at `guard.py`.

`guard.py`: is it like the images that the detector was calibrated on, by `traits.py`?
(`fitting.py`: learnt.) `stability.py`: do harmless versions of it get the same verdict?
"""
