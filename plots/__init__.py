"""Draw numbers as figures, tables and parts of pages; nothing here changes its input.

Start at `curves.py`: ROC, DET, precision-recall. `scores.py`: histogram, reliability,
confusion matrix. `tables.py`: numbers as text. `style.py`: how it looks, with all
colours. `save_analysis.py`: all files of an analysis.
"""
