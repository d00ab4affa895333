"""A trained detector, and what it says of pictures; start at `detector.py`.

`detector.py`: the detector, and its scores of a split. `finding.py`: which files are
meant. `pictures.py`: read in batches, from a stream. `verdicts.py`: what each detector
says of each, `conditions.py` of a disturbed split. `words.py`: the same for a terminal
and a page.
"""
