"""What saliency maps and Grad-CAM share; start at `subjects.py`.

`subjects.py`: which images are explained: a split's most telling ones, or the user's.
`mean_maps.py`: a model made ready for maps and left as it was; the mean of many maps.
`methods.py`: maps from gradients. `cams.py`: maps from a layer's activations.
`checks.py`: are maps to be believed?
`figures.py`: maps beside, over and without their images, saved with their numbers.
"""
