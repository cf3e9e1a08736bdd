"""Registries of classes by name."""

from collections.abc import Callable

from yacs.config import CfgNode

from .names import check_availability


class Registry:
    """Maps names to classes or functions; ``name`` describes its entries in errors, for example ``"TRAINER"``."""

    def __init__(self, name: str):
        self._name = name
        self._entries = {}

    def register(self, obj: Callable | None = None, force: bool = False) -> Callable:
        """Register ``obj`` under its own name; without ``obj``, a decorator that does so.

        Raises:
            KeyError: if the name is taken and ``force`` is not set.
        """
        if obj is None:
            return lambda decorated: self.register(decorated, force=force)
        if obj.__name__ in self._entries and not force:
            raise KeyError(f"{obj.__name__!r} is in the {self._name} registry already; pass force=True to replace it")
        self._entries[obj.__name__] = obj
        return obj

    def get(self, name: str) -> Callable:
        """The entry called ``name``.

        Raises:
            KeyError: if there is no such entry.
        """
        if name not in self._entries:
            raise KeyError(f"{name!r} is not in the {self._name} registry; it holds {sorted(self._entries)}")
        return self._entries[name]

    def build(self, name: str, cfg: CfgNode, **kwargs: object) -> object:
        """Call the entry called ``name`` with a configuration, and print its name if ``cfg.VERBOSE`` is set.

        Raises:
            ValueError: listing the known names.
        """
        check_availability(name, self.registered_names())
        if cfg.VERBOSE:
            print(f"Loading {self._name.lower()}: {name}")
        return self.get(name)(cfg, **kwargs)

    def registered_names(self) -> list[str]:
        """All names, in the order of their registration."""
        return list(self._entries)
