"""What trained detectors say of images.

`datasets.py`: of each image of a split, as a `scores.ScoreSet`.
"""
