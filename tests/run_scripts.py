"""Run scripts in one process, which imports torch once: smoke_real_data.sh asks it.

A line of its input is a command, such as `predict.py -cpp A.pt photo.jpg`; when it is
done a line with its status follows. What scripts print goes to stderr.
"""

import importlib
import os
import shlex
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def main() -> None:
    """Run each command that is asked for."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        sys.argv = shlex.split(line)
        script, *words = sys.argv
        status = importlib.import_module(script.removesuffix(".py")).main(words)
        print(status or 0, file=answers, flush=True)


if __name__ == "__main__":
    main()
