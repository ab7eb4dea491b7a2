"""Who wants to be told at once when something changes.

A blocked event.from must wake within milliseconds, and a thousand of them must cost nothing while only things
change that they did not ask for.

Effects: none
"""

from collections.abc import Callable, Collection

_ALL = ""


class Watchers:
    """Callbacks, each for some classes or for all."""

    def __init__(self) -> None:
        """Nobody watches yet."""
        self._by_class: dict[str, dict[int, Callable[[], None]]] = {}
        self._added = 0

    def add(self, callback: Callable[[], None], classes: Collection[str] | None = None) -> Callable[[], None]:
        """Call back after each change of these classes, or of any; returns what ends it."""
        self._added += 1
        number = self._added
        watched = (_ALL,) if classes is None else tuple(classes)
        for class_name in watched:
            self._by_class.setdefault(class_name, {})[number] = callback

        def end() -> None:
            for class_name in watched:
                self._by_class.get(class_name, {}).pop(number, None)

        return end

    def tell(self, touched: Collection[str]) -> None:
        """Something of these classes changed. Each callback is called once, in the order of adding."""
        to_call: dict[int, Callable[[], None]] = dict(self._by_class.get(_ALL, ()))
        for class_name in touched:
            watching = self._by_class.get(class_name)
            if watching:
                to_call.update(watching)
        for number in sorted(to_call):
            to_call[number]()
