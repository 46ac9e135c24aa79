"""gpuio: GPU kernels read anything that has an address as if it were an array."""

from ._array import Array, HistogramReport, Report, array
from ._context import Context, DeviceInfo, LogLevel, Stats
from ._core import set_log_level
from ._core import version as _version
from ._errors import ErrorCode, GPUIOError
from ._file import File, FileInfo, open  # noqa: A004

LOG_NONE = LogLevel.NONE
LOG_FATAL = LogLevel.FATAL
LOG_ERROR = LogLevel.ERROR
LOG_WARN = LogLevel.WARN
LOG_INFO = LogLevel.INFO
LOG_DEBUG = LogLevel.DEBUG
LOG_TRACE = LogLevel.TRACE

__version__: str = _version()

__all__ = [
    "Array", "Context", "DeviceInfo", "ErrorCode", "File", "FileInfo", "GPUIOError", "HistogramReport", "LogLevel",
    "LOG_DEBUG", "LOG_ERROR", "LOG_FATAL", "LOG_INFO", "LOG_NONE", "LOG_TRACE", "LOG_WARN", "Report", "Stats",
    "array", "open", "set_log_level",
]  # fmt: skip
