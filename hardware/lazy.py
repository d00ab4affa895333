"""Names of a package that are imported when they are asked for.

So judging with an exported detector needs neither PyTorch nor SciPy.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def attach(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Return the `__getattr__` of a package, given its `__name__`.

    `homes` has by module the names that it has, with spaces between them.

    Source: PEP 562; as scientific packages do it, SPEC 1.
    """

    home_of = {name: home for home, names in homes.items() for name in names.split()}

    def get(name: str) -> Any:
        if name not in home_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{home_of[name]}"), name)

    return get
