"""What saliency maps and Grad-CAM share; start at `maps.py`.

`maps.py`: a model made ready for maps and left as it was; mean maps.
`figures.py`: maps beside, over and without their images, saved with their numbers.
"""
