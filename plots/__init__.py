"""Numbers in, pictures and tables out; nothing here changes what it draws.

Start at `curves.py`: ROC, DET, precision-recall. `scores.py`: histogram, reliability,
confusion matrix. `tables.py`: the same numbers as text. `style.py`: how it looks.
"""
