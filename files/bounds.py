"""Which numbers and names are allowed in what users and files give."""

import re
from dataclasses import dataclass
from typing import Any

VERY_MANY = 10**9


@dataclass(frozen=True)
class Bounds:
    """Numbers from `low` to `high`; `str` says so to the user.

    Attributes:
        low, high: the ends.
        kind: int or float; a float may be given as a whole number.
        above: `low` itself is not allowed.
        below: `high` itself is not allowed.
    """

    low: float
    high: float
    kind: type = float
    above: bool = False
    below: bool = False

    def __contains__(self, value: Any) -> bool:
        if type(value) not in (int, self.kind):  # a bool is not a number
            return False
        is_low = value <= self.low if self.above else value < self.low
        is_high = value >= self.high if self.below else value > self.high
        return value == value and not (is_low or is_high)

    def __str__(self) -> str:
        what = "a whole number" if self.kind is int else "a number"
        look = ",d" if self.kind is int else ",.12g"
        low, high = (f"{end:{look}}" for end in (self.low, self.high))
        start = f"above {low}" if self.above else f"from {low}"
        if self.below:
            return f"{what} {start} up to, not including, {high}"
        return f"{what} {start}{', at most' if self.above else ' to'} {high}"

    def parse(self, text: str) -> Any:
        """Return the number that a text spells.

        Raises:
            ValueError: the text is not such a number.
        """
        try:
            value = None if "_" in text else self.kind(text)  # Python's 1_000
        except ValueError:
            value = None
        if value not in self:
            raise ValueError(f"expected {self}, got {text!r}")
        return value


@dataclass(frozen=True)
class Words:
    """Texts that match a pattern; `str` tells the user which.

    Attributes:
        pattern: a regular expression for the whole text.
        allowed: the same in words.
        trailing: characters that `parse` takes off the end.
    """

    pattern: str
    allowed: str
    trailing: str = ""

    def __contains__(self, value: Any) -> bool:
        return isinstance(value, str) and bool(re.fullmatch(self.pattern, value))

    def __str__(self) -> str:
        return self.allowed

    def parse(self, text: str) -> str:
        """Return the text, or raise ValueError as `Bounds.parse` does."""
        value = text.rstrip(self.trailing) if self.trailing else text
        if value not in self:
            raise ValueError(f"expected {self}, got {text!r}")
        return value


SHARE = Bounds(0, 1)
PROPER_SHARE = Bounds(0, 1, below=True)
INNER_SHARE = Bounds(0, 1, above=True, below=True)
COUNT = Bounds(1, VERY_MANY, int)
COUNT_OR_NONE = Bounds(0, VERY_MANY, int)
SEED = Bounds(0, 2**63 - 1, int)  # torch takes no more than 64 bits
# A folder's name, with the slash that completion in a shell leaves; or a hub's.
DATASET_NAME = Words(
    r"(?!\.{1,2}$)[^/\\\0]{1,200}|hf:[^\0]{1,200}",
    "the name of a folder or a table under --data-root, or hf:OWNER/NAME",
    "/\\",
)
TUNINGS = ("all", "head", "norms", "lora")  # what of a network is trained
HIDDEN_UNITS, RANKS = Bounds(0, 4096, int), Bounds(1, 256, int)
LAYER_NAME = Words(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}", "the name of a layer, or auto")
CONDITIONS = Words(
    r"[a-z][a-z-]*(=[0-9.]{1,8})?",
    "photographs, or a disturbance such as jpeg or jpeg=70",
)
FOLD = Words(r"\d{1,2}/\d{1,2}", "a fold as in 0/5, 1/5, ... 4/5")
FOLDS = Bounds(2, 99, int)
# A word that goes into file names; a snapshot's name ends with 'last'.
RUN_NAME = Words(
    r"(?!(.*_)?last$)[A-Za-z0-9_-]{1,60}",
    "at most 60 letters, digits, - and _, and no 'last' at the end",
)
