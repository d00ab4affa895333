"""Draw numbers as figures, tables and parts of pages; nothing here changes its input.

A function `plot_...(axes, ...)` draws on the axes that it is given and returns them.

Start at `curves.py`: ROC, DET, precision-recall. `scores.py`: histogram, reliability,
confusion matrix; `analysis_plots.py`: the table of all these. `tables.py`: numbers as
text; `paper_tables.py`: to paste. `style.py`: how it looks, with its colours.
`save_analysis.py`: all files of an analysis. `runs.py`: of several runs; `matrix.py`:
trained on by tested on. `learning.py`: a training's curves; `trainings.py`: what ran.
`robustness.py`: what disturbances leave. `time_line.py`: a video's persons. `pages.py`:
the frame of all HTML pages.

Import this room before Matplotlib: then the user's backend and matplotlibrc, which may
break the import or a figure, are not read.
"""

import os
import sys

if "matplotlib" not in sys.modules:
    os.environ |= {"MPLBACKEND": "agg", "MATPLOTLIBRC": os.devnull}
