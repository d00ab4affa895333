"""What is on the disk: named in one place, written whole or not at all, read as data.

Start at `names.py`: what things are called, and where a run's files are (scripts name
the figures that they draw). `checkpoint.py`: what a checkpoint says
(`checkpoint_files.py`: read and written). `recipe.py`: what a training is. `bounds.py`:
which values are allowed from outside. `atomic.py`: writing. `locks.py`: who holds a
file. `tensors.py`: files of tensors. `safetensors_files.py`: those that cannot hold
code. `hub.py`: checkpoints of a model hub. `kinds.py`: what else a file is.
`history.py`: the JSON list of runs. `trainings.py`: what all of them say.
`run_files.py`: what a training writes and resumes from. `run_log.py`: its steps and
epochs, in tables that grow (`log_tables.py`). `journal.py`: keeps what is made an entry
at a time. `imagenet_weights.py`: weights to start from. `csv_files.py`: tables of any
program. `label_words.py`: words that mean real or fake. `provenance.py`: where numbers
come from.
"""
