"""Is a dataset fair? Start at `findings.py`: what an audit says.

`properties.py`: what is measured of each file. `duplicates.py`: images that are there
twice. `shortcuts.py`: how well single properties tell the classes apart. `fixing.py`: a
copy without what can be mended. `page.py`: the audit as a figure, numbers and a page.
"""
