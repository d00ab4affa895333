"""Run a script, and note in which stage its main thread was: SHARES SCRIPT WORD ...

A hundred times a second it looks at the functions that are running. It costs less than
a hundredth of the time, and the script is as it is.
"""

import json
import runpy
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

PROJECT = Path(__file__).resolve().parents[1]
INTERVAL_S = 0.01
# By stage, what the places of its code begin with; of several the first counts.
STAGES = {
    "start": ("<frozen importlib",),
    "face search": ("loading/face_finding",),
    "maps": ("explaining/",),
    "figures": ("plots/",),
    "numbers": ("metrics/", "scores/"),
    "reading": ("loading/",),
    "comparing": ("auditing/",),
    "network": ("judging/", "tuning/", "trainer", "models", "hardware/"),
}


def name_stage(places: list[str]) -> str:
    """Return the stage in which functions run that stand at these places."""
    for stage, beginnings in STAGES.items():
        if any(place.startswith(beginnings) for place in places):
            return stage
    return "the rest"


def list_places(frame: FrameType | None) -> Iterator[str]:
    """Yield the files of the running functions, the project's without its folder."""
    while frame:
        yield frame.f_code.co_filename.removeprefix(f"{PROJECT}/")
        frame = frame.f_back


def _watch(seconds: Counter[str], ended: threading.Event) -> None:
    main, last = threading.main_thread().ident, time.perf_counter()
    while not ended.wait(INTERVAL_S):
        stage = name_stage([*list_places(sys._current_frames()[main])])
        seconds[stage] += (now := time.perf_counter()) - last
        last = now


def main() -> None:
    """Run the script in the second argument; write seconds by stage to the first."""
    shares, script, *words = sys.argv[1:]
    sys.argv, sys.path[0] = [script, *words], str(PROJECT)
    seconds, ended = Counter(), threading.Event()
    watcher = threading.Thread(target=_watch, args=(seconds, ended), daemon=True)
    watcher.start()
    try:
        runpy.run_path(script, run_name="__main__")
    finally:
        ended.set()
        watcher.join()
        Path(shares).write_text(json.dumps(seconds))


if __name__ == "__main__":
    main()
