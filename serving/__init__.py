"""A page on the user's own machine that judges a picture or a video; start at `app.py`.

`app.py`: the page's requests. `answers.py`: what is said of verdicts. `work.py`: in
which order they are worked on, and how a video is stopped. `guard.py`: which requests
are answered. `server.py`: the socket. `templates/`, `static/`: what the browser gets.
"""
