"""What the command lines share; start at `parser.py`.

`parser.py`: the parser, the types of its values; lines, errors and progress as shown.
`flags.py`: the flags that several scripts take, and those of a training.
"""

from command_line.flags import (
    PRECISIONS,
    add_checkpoint_flag,
    add_compute_flags,
    add_data_flags,
    add_data_root_flag,
    add_figures_flag,
    add_file_flags,
    add_model_flag,
    add_recipe_flags,
    add_resamples_flag,
    add_seed_flag,
    add_tuning_flags,
)
from command_line.parser import (
    Parser,
    describe_error,
    fraction,
    inner_fraction,
    non_negative_int,
    number_type,
    positive_int,
    run,
    say,
)

__all__ = [
    "PRECISIONS",
    "Parser",
    "add_checkpoint_flag",
    "add_compute_flags",
    "add_data_flags",
    "add_data_root_flag",
    "add_figures_flag",
    "add_file_flags",
    "add_model_flag",
    "add_recipe_flags",
    "add_resamples_flag",
    "add_seed_flag",
    "add_tuning_flags",
    "describe_error",
    "fraction",
    "inner_fraction",
    "non_negative_int",
    "number_type",
    "positive_int",
    "run",
    "say",
]
