"""What a training is, and what is kept of it; start at `recipe.py`.

`recipe.py`: what defines a training, its flags and their defaults; the named recipes.
`checkpoint.py`: what a checkpoint says (`checkpoint_files.py`: read and written).
`history.py`: the JSON list of runs. `trainings.py`: what all of them say.
`run_files.py`: what a training writes and resumes from. `run_log.py`: its steps and
epochs, in tables that grow.
"""
