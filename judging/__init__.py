"""A trained detector, and what it says of pictures; start at `detector.py`.

`detector.py`: the detector, and its scores of a split. `base.py`: what its scores mean,
also of one in ONNX, `exported.py`. `qualifying.py`: what its training ends with,
threshold to guard, `parts.py`: joined datasets, each measured. `guarding/`: is a
picture so unfamiliar, or a verdict so unstable, that there should be none?

`inputs.py`: which files are meant. `pictures.py`: read in batches, from a stream.
`verdicts.py`: what each detector says of each, real, fake or inconclusive, and why,
`headlines.py` of several faces, `clips.py` of a video, by person, whose frames
`tracks.py` sums up, `conditions.py` of a disturbed split. `words.py`: the same for a
terminal and a page, `tally.py` counts them.
`verdict_tables.py`: their columns, and their rows, to which a resumed run adds.
`together.py`: pictures judged by several processes.
"""
