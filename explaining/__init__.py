"""What saliency maps and Grad-CAM share; start at `mean_maps.py`.

`mean_maps.py`: a model made ready for maps and left as it was; the mean of many maps.
`figures.py`: maps beside, over and without their images, saved with their numbers.
"""
