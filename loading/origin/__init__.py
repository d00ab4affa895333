"""What a file says of where it comes from; start at `traces.py`.

`traces.py`: all of it together. `metadata.py`: tags and properties. `credentials.py`:
who signed it. `jpeg_quality.py`: how strongly it was compressed.
"""
