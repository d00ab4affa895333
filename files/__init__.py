"""What is on the disk: named in one place, written whole or not at all, read as data.

Start at `names.py`: what things are called, and where a run's files are (scripts name
the figures that they draw). `checkpoint.py`: what a checkpoint says. `recipe.py`: what
a training is. `bounds.py`: which values are allowed from outside. `atomic.py`: writing.
`tensors.py`: files of tensors. `kinds.py`: what else a file is. `history.py`: the JSON
list of runs. `trainings.py`: what all of them say. `run_files.py`: what a training
writes and resumes from.
`imagenet_weights.py`: weights to start from. `provenance.py`: where numbers come from.
"""
