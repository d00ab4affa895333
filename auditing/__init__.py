"""Is a dataset fair? Start at `audit.py`: all that is found out, and how.

`findings.py`: what is said of it. `properties.py`: what is measured of each file.
`duplicates.py`: images that are there twice. `shortcuts.py`: how well single properties
tell the classes apart. `fixing.py`: a copy without what can be mended. `page.py`: the
audit as a figure, numbers and a page.
"""
