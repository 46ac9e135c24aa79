"""What is used in a `with` statement and ends with it."""

from __future__ import annotations

from types import TracebackType
from typing import Optional, TypeVar

T = TypeVar("T", bound="Ending")


class Ending:
    def _end(self) -> None:
        raise NotImplementedError

    def __enter__(self: T) -> T:
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self._end()
