use std::ffi::CStr;
use std::fmt;
use std::os::raw::c_char;

use crate::sys::*;

/// What kind of failure it was: `gpuio_error_t`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum Code {
    General,
    NoMemory,
    InvalidArgument,
    NotFound,
    Timeout,
    Io,
    Network,
    /// Not possible here; the message says what would make it so.
    Unsupported,
    Permission,
    /// Possible, but not now.
    Busy,
    Canceled,
    DeviceLost,
    AlreadyInitialized,
    NotInitialized,
    InvalidAddress,
    InvalidBacking,
    /// Of a newer library.
    Other(i32),
}

impl Code {
    pub(crate) fn of(code: gpuio_error_t) -> Code {
        match code {
            GPUIO_ERROR_GENERAL => Code::General,
            GPUIO_ERROR_NOMEM => Code::NoMemory,
            GPUIO_ERROR_INVALID_ARG => Code::InvalidArgument,
            GPUIO_ERROR_NOT_FOUND => Code::NotFound,
            GPUIO_ERROR_TIMEOUT => Code::Timeout,
            GPUIO_ERROR_IO => Code::Io,
            GPUIO_ERROR_NETWORK => Code::Network,
            GPUIO_ERROR_UNSUPPORTED => Code::Unsupported,
            GPUIO_ERROR_PERMISSION => Code::Permission,
            GPUIO_ERROR_BUSY => Code::Busy,
            GPUIO_ERROR_CANCELED => Code::Canceled,
            GPUIO_ERROR_DEVICE_LOST => Code::DeviceLost,
            GPUIO_ERROR_ALREADY_INITIALIZED => Code::AlreadyInitialized,
            GPUIO_ERROR_NOT_INITIALIZED => Code::NotInitialized,
            GPUIO_ERROR_INVALID_ADDRESS => Code::InvalidAddress,
            GPUIO_ERROR_INVALID_BACKING => Code::InvalidBacking,
            other => Code::Other(other),
        }
    }

    /// Whether the same call may succeed later.
    pub fn is_retryable(self) -> bool {
        matches!(self, Code::Timeout | Code::Io | Code::Network | Code::Busy)
    }
}

/// A failure: its kind, and which thing, which value and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    code: Code,
    message: String,
}

/// What fallible calls of this crate return.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Error {
        Error { code, message: message.into() }
    }
    /// Its kind.
    pub fn code(&self) -> Code {
        self.code
    }
    /// Its words.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// The answer of a call that this thread has just made: the message lives until its next one.
pub(crate) fn check(code: gpuio_error_t) -> Result<()> {
    if code == GPUIO_SUCCESS {
        return Ok(());
    }
    // SAFETY: never NULL, and of this thread.
    let message = unsafe { CStr::from_ptr(gpuio_last_error_message()) };
    Err(Error::new(Code::of(code), message.to_string_lossy()))
}

/// The text in a fixed field of a struct.
pub(crate) fn text(field: &[c_char]) -> String {
    let bytes: Vec<u8> = field.iter().take_while(|&&c| c != 0).map(|&c| c as u8).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A text for C.
pub(crate) fn c_string(text: &str, what: &str) -> Result<std::ffi::CString> {
    std::ffi::CString::new(text).map_err(|e| {
        Error::new(Code::InvalidArgument, format!("{what} {text:?}: a zero byte at {}; take it out", e.nul_position()))
    })
}

/// Microseconds as the C interface counts them, at least one: 0 has a meaning of its own.
pub(crate) fn microseconds(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX - 1).clamp(1, u64::MAX - 1)
}
