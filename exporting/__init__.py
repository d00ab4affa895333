"""A detector for other programs, checked against itself; start at `graph.py`.

`graph.py`: bytes to P(fake) as one module. `formats.py`: as a file. `description.py`:
what a caller must know beside it. `checking.py`: does it say the same?
`quantising.py`: in 8-bit integers. `example.py` and `example.html` go with the files.
"""
