# Stands in for the generated package of this name while types are checked: UniFFI's annotations contradict its own classes (a variant of
# an enum is no subclass of it there), so that it is Any to the checker.
from typing import Any

def __getattr__(name: str) -> Any: ...
