"""Names of a package that are imported when they are asked for.

So judging with an exported detector needs neither PyTorch nor SciPy.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def attach(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Return a package's `__getattr__`.

    Args:
        package: its `__name__`.
        homes: by name, which of its modules has it.

    Source: PEP 562; as scientific packages do it, SPEC 1.
    """

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{homes[name]}"), name)

    return get
