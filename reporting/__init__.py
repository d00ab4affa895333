"""A run, or a case, as one page that needs no other file; start at `page.py`.

`page.py`: `write_report`, from checkpoints to the page. `runs.py`: all that is known of
a run. `maps.py`: its mistakes and mean maps. `figures.py`: the pictures, each with its
words. `words.py`: the verdict, the model card, the commands. `report.html`: template.
`case.py`: pictures and videos that were judged, for the files of a case; `case.html`:
template. `card.py`: a folder for a model hub; `card.md`: template of its card.
"""

from reporting.page import name_report, write_report
from reporting.runs import Settings
