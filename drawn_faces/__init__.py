"""The demo's people and their forgeries; start at `portraits.py`.

`plan.py`: which images there are. `features.py`: head, skin, eyes, hair. `canvas.py`:
brushes and palettes. `forgeries.py`: planted faces, generator traces, the camera.
Nothing here may import torch: every process that draws imports all of it anew.
"""
