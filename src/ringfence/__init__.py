"""Ringfence decides, in the Linux kernel, which workload may talk to which, and says why for every packet.

As a library it answers the same questions of files, without a kernel and without root: see `ringfence.library` and
docs/python.md. Its names stand here too; they are fetched when they are first asked for, so that nobody who needs the
version alone waits for the parser. What they are is said in `__init__.pyi`.
"""

from importlib import import_module

__version__ = "0.1.0"
_LIBRARY = (
    "BadInput", "Change", "Denied", "Finding", "Judgement", "Learned", "NotFound", "Policies", "Proof", "Reach",
    "Replayed", "Report", "RingfenceError", "Verdict", "learn", "load", "parse",
)  # fmt: skip
__all__ = ["__version__", *_LIBRARY]  # noqa: PLE0604 - names of the library are texts


def __getattr__(name: str) -> object:
    if name in _LIBRARY:
        return getattr(import_module("ringfence.library"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
