"""A page on the user's own machine that judges a picture; start at `app.py`.

`app.py`: the page's requests, what is refused and what is answered. `guard.py`: which
requests are answered. `server.py`: the socket. `templates/`, `static/`: what the
browser gets.
"""
