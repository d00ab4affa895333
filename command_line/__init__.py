"""The scripts' command lines; nothing but scripts imports it. Start at `parser.py`.

`early.py`: Ctrl-C during imports, and streams that are closed.
`parser.py`: the parser, the types of its values, and how lines and errors are printed.
`flags.py`: the flags that several scripts take, and a training's, which
`records/recipe.py` defines.
`compute.py`: how networks run, as the flags say; apart, because it imports torch.
`maps.py`: those of the two scripts that draw maps, and the images that they name.
`faces.py`: those on how a user's pictures are read.
"""

from command_line.flags import (
    add_calibration_flags,
    add_checkpoint_flag,
    add_compute_flags,
    add_dataset_flag,
    add_device_flags,
    add_figures_flag,
    add_group_flags,
    add_keeping_flags,
    add_model_flag,
    add_recipe_flags,
    add_resamples_flag,
    add_runs_flags,
    add_seed_flag,
    add_source_flags,
    add_split_flag,
    take_fields,
    take_recipe,
)
from command_line.parser import Parser, describe_error, refuse_several, run, say, take

import plots  # before anything imports Matplotlib
