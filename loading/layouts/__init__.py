"""For make_table.py: from foreign layouts to rows; start at `all_layouts.py`.

What `-d FOLDER` reads is in `loading/sources/`.

`rows.py`: a row, and how the table is written. `folders.py`: names of folders say what
they hold. `frame_lists.py`: DeepfakeBench's JSON. `shards.py`: WebDataset's tar files.
`foreign_tables.py`: tables whose columns are called otherwise. `official_splits.py`:
splits that a dataset's authors published beside it.
"""

from loading.layouts.all_layouts import read_layout
from loading.layouts.official_splits import (
    deal_rest,
    split_by_pairs,
    split_by_test_list,
)
from loading.layouts.rows import (
    COLUMNS,
    LEVELS,
    Found,
    Hints,
    Row,
    check_rows,
    join_families,
    list_others,
    save_rows,
)
