"""What is on the disk: named in one place, written whole or not at all, read as data.

Start at `names.py`: what things are called, and where a run's files are (scripts name
the figures that they draw). `classes.py`: real and fake, and the words that mean them.
`bounds.py`: which values are allowed from outside. `atomic.py`: writing. `locks.py`:
who holds a file. `journal.py`: keeps what is made an entry at a time. `tensors.py`:
files of tensors. `safetensors_files.py`: those that cannot hold code.
`imagenet_weights.py`: weights to start from. `hub.py`: checkpoints of a model hub.
`kinds.py`: what else a file is. `csv_files.py`: tables of any program. `provenance.py`:
where numbers come from.
"""
