"""What a split consists of, wherever it lies; start at `datasets.py`.

`datasets.py`: which datasets there are, and what their splits hold. `pictures.py`:
what is known of a split's pictures; those in folders. `tables.py`, `hub.py`: those that
a table or the Hugging Face hub lists. `archives.py`: those in tar files.
`splitting.py`: dealt out where nothing says which split a picture is of.
"""
