"""Draw numbers as figures, tables and parts of pages; nothing here changes its input.

A function `plot_...(axes, ...)` draws on the axes that it is given and returns them.

Start at `curves.py`: ROC, DET, precision-recall. `scores.py`: histogram, reliability,
confusion matrix. `tables.py`: numbers as text. `style.py`: how it looks, with its
colours. `save_analysis.py`: all files of an analysis. `runs.py`: of several runs.
`trainings.py`: what ran. `time_line.py`: a video's persons.

Import this room before Matplotlib: then the user's backend and matplotlibrc, which may
break the import or a figure, are not read.
"""

import os
import sys

if "matplotlib" not in sys.modules:
    os.environ |= {"MPLBACKEND": "agg", "MATPLOTLIBRC": os.devnull}
