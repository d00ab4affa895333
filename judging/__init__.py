"""What trained detectors say of images; start at `verdicts.py`.

`datasets.py`: of each image of a split, as a `scores.ScoreSet`.
`finding.py`: which files are meant. `pictures.py`: read in batches, from a stream.
`verdicts.py`: what each detector says of each. `words.py`: the same for a terminal.
"""
