"""What saliency maps and Grad-CAM share; start at `explanation.py`.

`explanation.py`: an image with its maps. `gradients.py`: maps from gradients.
`cams.py`: maps from a layer's activations. `pictures.py`: one picture's maps.
`time_lines.py`: a video's persons over time.
`judged_images.py`: which images are explained. `checks.py`: can maps be believed?
`shown.py`: which are shown as a reason. `figures.py`: how all this is drawn. `run.py`:
what both scripts do.
"""
