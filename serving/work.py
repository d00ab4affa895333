"""Who works when: one picture after the other, and between the frames of a video."""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from functools import partial
from typing import Any

from hardware import give_memory_back
from loading import ImageFile
from loading.videos.frames import Heed

MOST_WAITING = 4  # requests, the one that is being judged included; videos apart
PULSE = 0.5  # seconds between words on a video; a client that is gone fails to hear two
PATIENCE = 5  # seconds that a video waits for another, which may just be cancelled
LONGEST_WORK = 600  # seconds, on a video


class BusyError(Exception):
    """There is no room: to be said to whoever asks."""


class StoppedError(Exception):
    """Nobody waits for the video any more."""


class Watch:
    """A video that is being judged: how far that is, and whether somebody waits for it.

    Args:
        most_seconds: that a video may last.
        do_next: does what else waits.

    Attributes:
        seconds: of the last frame.
        lasts: how long the video says that it lasts, seconds; None if it does not.
    """

    def __init__(self, most_seconds: float, do_next: Callable[[], object]) -> None:
        self.seconds, self.lasts = 0.0, None
        self._most_seconds = most_seconds
        self._do_next = do_next
        self._end = time.monotonic() + LONGEST_WORK
        self._is_stopped = threading.Event()

    def stop(self) -> None:
        """Let the work end at its next step."""
        self._is_stopped.set()

    def heed(self, seconds: float, lasts: float | None) -> None:
        """Note how far it is, and let another task through.

        Raises:
            ValueError: the video, or the work, takes longer than it may.
            StoppedError: nobody waits for it any more.
        """
        self._do_next()
        if self._is_stopped.is_set():
            raise StoppedError
        self.seconds, self.lasts = seconds, lasts
        length, most = max(seconds, lasts or 0), self._most_seconds
        if length > most:
            reason = f"it lasts {length:.1f} s, and at most {most:g} s are taken"
            raise ValueError(reason)
        if time.monotonic() > self._end:
            minutes = f"{LONGEST_WORK / 60:g} minutes"
            reason = f"it takes more than {minutes} to judge: send a part of it"
            raise ValueError(reason)


class Worker:
    """Does what requests want, one after the other; a video lets others through.

    One thread does it all, because each that works with large pictures and networks
    keeps memory for itself.
    """

    def __init__(self) -> None:
        self._places = threading.BoundedSemaphore(MOST_WAITING)
        self._video = threading.Lock()
        self._watch: Watch | None = None
        self._is_stopped = False
        self._change = threading.Lock()  # of the two above
        self._thread = ThreadPoolExecutor(1)
        self._waiting: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()

    def do(self, task: Callable[[ImageFile], Any], file: ImageFile) -> Any:
        """Return what a task makes of a picture.

        Raises:
            BusyError: many wait.
        """
        if not self._places.acquire(blocking=False):
            raise BusyError("other pictures are being judged: try again")
        try:
            return self._submit(partial(task, file)).result()
        finally:
            self._places.release()

    def watch(
        self,
        task: Callable[[ImageFile, Heed], dict[str, Any]],
        file: ImageFile,
        most_seconds: float,
    ) -> tuple[Watch, Iterator[str]]:
        """Begin a task on a video.

        Returns:
            What is to be stopped when nobody reads on, and lines of JSON: every `PULSE`
            how far it is, and at the end what the task returns.

        Raises:
            BusyError: there is another video.
        """
        if not self._video.acquire(timeout=PATIENCE):
            raise BusyError(
                "another video is being judged: try again when that is done"
            )
        with self._change:
            if self._is_stopped:  # while this one waited
                self._video.release()
                raise BusyError("the page is being closed")
            watch = self._watch = Watch(most_seconds, self._do_next)
        done = self._submit(partial(task, file, watch.heed))
        done.add_done_callback(lambda _: self._video.release())
        return watch, _tell(watch, done)

    def stop(self) -> None:
        """End what would keep the server from ending."""
        with self._change:
            self._is_stopped = True
            if self._watch:
                self._watch.stop()

    def _submit(self, task: Callable[[], Any]) -> Future[Any]:
        done: Future[Any] = Future()
        self._waiting.put(partial(_run, task, done))
        self._thread.submit(self._do_next)
        return done

    def _do_next(self) -> None:
        """Do what has waited longest, unless a video's step has done it before."""
        with suppress(queue.Empty):
            self._waiting.get_nowait()()


def _run(task: Callable[[], Any], done: Future[Any] | None) -> None:
    try:
        done.set_result(task())
    except Exception as error:  # for whoever waits
        done.set_exception(error)
    finally:
        done = None  # else error, traceback and future keep one another, and the file
        give_memory_back()


def _tell(watch: Watch, done: Future[dict[str, Any]]) -> Iterator[str]:
    while not wait([done], PULSE).done:
        yield f"{json.dumps({'seconds': watch.seconds, 'lasts': watch.lasts})}\n"
    with suppress(StoppedError):
        yield f"{json.dumps(done.result())}\n"
