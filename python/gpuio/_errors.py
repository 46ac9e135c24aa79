"""Errors: one exception, with the library's code and its message."""

from __future__ import annotations

import enum


class ErrorCode(enum.IntEnum):
    """The values of gpuio_error_t."""

    GENERAL = -1
    NOMEM = -2
    INVALID_ARG = -3
    NOT_FOUND = -4
    TIMEOUT = -5
    IO = -6
    NETWORK = -7
    UNSUPPORTED = -8
    PERMISSION = -9
    BUSY = -10
    CANCELED = -11
    DEVICE_LOST = -12
    ALREADY_INITIALIZED = -13
    NOT_INITIALIZED = -14
    INVALID_ADDRESS = -15
    INVALID_BACKING = -16


class GPUIOError(Exception):
    """What went wrong: `code`, and `message`, which names the thing, the value and the remedy."""

    code: int
    message: str

    def __init__(self, code: int, message: str) -> None:
        super().__init__(code, message)
        try:
            self.code = ErrorCode(code)
        except ValueError:  # of a newer library
            self.code = code
        self.message = message

    def __str__(self) -> str:
        name = self.code.name if isinstance(self.code, ErrorCode) else str(self.code)
        return f"{self.message} ({name})"


def invalid(message: str) -> GPUIOError:
    return GPUIOError(ErrorCode.INVALID_ARG, message)
