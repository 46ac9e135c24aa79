use std::any::Any;
use std::os::raw::c_void;
use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};
use std::ptr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::context::Context;
use crate::error::{check, microseconds, Code, Error, Result};
use crate::handle::{copy_params, Region};
use crate::memory::Use;
use crate::stream::Stream;
use crate::sys::*;

/// Where a request is. The last three are final, until it is submitted again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Status {
    Pending,
    Submitted,
    InProgress,
    Completed,
    Error,
    Cancelled,
}

impl Status {
    fn of(raw: gpuio_request_status_t) -> Status {
        match raw {
            GPUIO_STATUS_SUBMITTED => Status::Submitted,
            GPUIO_STATUS_IN_PROGRESS => Status::InProgress,
            GPUIO_STATUS_COMPLETED => Status::Completed,
            GPUIO_STATUS_ERROR => Status::Error,
            GPUIO_STATUS_CANCELLED => Status::Cancelled,
            _ => Status::Pending,
        }
    }
    /// Whether it will not change by itself.
    pub fn is_final(self) -> bool {
        matches!(self, Status::Completed | Status::Error | Status::Cancelled)
    }
}

/// How far a request is.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Progress {
    /// What was asked for.
    pub bytes_total: u64,
    /// Moved for certain.
    pub bytes_completed: u64,
    /// With what was moved again after an error.
    pub bytes_transferred: u64,
    /// 0 to 100.
    pub percent: f32,
    /// `None`: unknown.
    pub remaining: Option<Duration>,
    /// At that moment.
    pub status: Status,
}

impl Progress {
    fn of(raw: &gpuio_progress_t) -> Progress {
        Progress {
            bytes_total: raw.bytes_total,
            bytes_completed: raw.bytes_completed,
            bytes_transferred: raw.bytes_transferred,
            percent: raw.progress_percent,
            remaining: if raw.eta_ms == 0 { None } else { Some(Duration::from_millis(raw.eta_ms)) },
            status: Status::of(raw.status),
        }
    }
}

type Watch = Box<dyn FnMut(&Progress) + Send>;

/// Calls a closure, and keeps what it panics with: nothing may unwind into C.
struct Watcher {
    watch: Mutex<Option<Watch>>,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

unsafe extern "C" fn on_progress(progress: *const gpuio_progress_t, user_data: *mut c_void) {
    // SAFETY: the watcher is given up only when the request was destroyed; progress lives as long as the call.
    let (watcher, progress) = (&*(user_data as *const Watcher), Progress::of(&*progress));
    let mut watch = watcher.watch.lock().unwrap_or_else(PoisonError::into_inner);
    let call = |w: &mut Watch| catch_unwind(AssertUnwindSafe(|| w(&progress)));
    if let Some(Err(panic)) = watch.as_mut().map(call) {
        *watch = None;
        *watcher.panic.lock().unwrap_or_else(PoisonError::into_inner) = Some(panic);
    }
}

/// What a request is to do, before it is made.
pub struct RequestBuilder {
    from: Region,
    to: Region,
    from_offset: u64,
    to_offset: u64,
    len: Option<usize>,
    stream: Option<Stream>,
    timeout_us: u64,
    priority: i32,
    rate: u64,
    watch: Option<Watch>,
}

impl RequestBuilder {
    /// Bytes into the regions; 0 at first.
    pub fn offsets(mut self, from: u64, to: u64) -> Self {
        self.from_offset = from;
        self.to_offset = to;
        self
    }
    /// Bytes; else as many as both regions have behind their offsets.
    pub fn len(mut self, bytes: usize) -> Self {
        self.len = Some(bytes);
        self
    }
    /// It begins when the work before it in the stream is done, and the work after it waits for it.
    pub fn stream(mut self, stream: &Stream) -> Self {
        self.stream = Some(stream.clone());
        self
    }
    /// From submit on; then it ends with `Timeout`.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout_us = microseconds(timeout);
        self
    }
    /// 0 is the highest, and the one that it has at first.
    pub fn priority(mut self, priority: u16) -> Self {
        self.priority = priority.into();
        self
    }
    /// At most so many bytes a second.
    pub fn rate(mut self, bytes_per_second: u64) -> Self {
        self.rate = bytes_per_second;
        self
    }
    /// Called on a thread of the library while it is in flight, at least ten times a second, and once at the end. Must
    /// not block: calls that would answer `Busy` there. A panic of it reaches who waits.
    pub fn on_progress(mut self, watch: impl FnMut(&Progress) + Send + 'static) -> Self {
        self.watch = Some(Box::new(watch));
        self
    }

    /// The request, not submitted.
    pub fn build(self) -> Result<Request> {
        let room = |region: &Region, offset: u64| (region.len() as u64).saturating_sub(offset);
        let most = room(&self.from, self.from_offset).min(room(&self.to, self.to_offset)) as usize;
        let context = self.from.context().clone();
        let (mut from, mut to) = (self.from.raw(), self.to.raw());
        let params = gpuio_request_params_t {
            src_offset: self.from_offset,
            dst_offset: self.to_offset,
            length: self.len.unwrap_or(most),
            stream: self.stream.as_ref().map_or(ptr::null_mut(), |s| s.raw()),
            async_: true,
            timeout_us: self.timeout_us,
            priority: self.priority,
            ..copy_params(&mut from, &mut to)
        };
        let mut raw = ptr::null_mut();
        // SAFETY: the regions are copied; what they name is kept by the request.
        check(unsafe { gpuio_request_create(context.raw(), &params, &mut raw) })?;
        let mut request = Request {
            context,
            raw,
            from: self.from,
            to: self.to,
            _stream: self.stream,
            uses: Vec::new(),
            watcher: None,
        };
        if self.rate > 0 {
            // SAFETY: it is not submitted yet.
            check(unsafe { gpuio_request_modify(request.context.raw(), raw, self.priority, self.rate) })?;
        }
        if let Some(watch) = self.watch {
            let watcher = Box::new(Watcher { watch: Mutex::new(Some(watch)), panic: Mutex::new(None) });
            let data = &*watcher as *const Watcher as *mut c_void;
            // SAFETY: the watcher stays where it is until the request was destroyed.
            check(unsafe { gpuio_request_set_progress_callback(request.context.raw(), raw, Some(on_progress), data) })?;
            request.watcher = Some(watcher);
        }
        Ok(request)
    }
}

/// One transfer of bytes between any two regions. While it is in flight it has the memory that it names: alone where
/// it writes, together with other readers where it reads. Dropping it cancels it, and blocks until it has ended.
pub struct Request {
    context: Context,
    raw: gpuio_request_t,
    from: Region,
    to: Region,
    _stream: Option<Stream>,
    uses: Vec<Use>,
    watcher: Option<Box<Watcher>>,
}

// SAFETY: numbers that any thread may use.
unsafe impl Send for Request {}
unsafe impl Sync for Request {}

/// Ends a request from another thread, while its owner waits for it.
#[derive(Clone)]
pub struct Canceller {
    context: Context,
    raw: gpuio_request_t,
}
// SAFETY: as Request.
unsafe impl Send for Canceller {}
unsafe impl Sync for Canceller {}

impl Canceller {
    /// Asks it to end, with `Canceled` or with what it has reached. `InvalidArgument` when the request is gone.
    pub fn cancel(&self) -> Result<()> {
        // SAFETY: a number that is never used again.
        check(unsafe { gpuio_request_cancel(self.context.raw(), self.raw) })
    }
}

impl Request {
    /// From one region to another, either of memory or of a handle.
    pub fn copy(from: &Region, to: &Region) -> RequestBuilder {
        RequestBuilder {
            from: from.clone(),
            to: to.clone(),
            from_offset: 0,
            to_offset: 0,
            len: None,
            stream: None,
            timeout_us: 0,
            priority: 0,
            rate: 0,
            watch: None,
        }
    }

    /// Sends it off. `Busy` when it is in flight, or when other work has the memory that it names.
    pub fn submit(&mut self) -> Result<()> {
        self.give_back()?;
        if !self.uses.is_empty() {
            return Err(Error::new(Code::Busy, "the request is in flight already; wait for it"));
        }
        let mut uses = Vec::new();
        if let Some(block) = self.to.block() {
            uses.push(Use::begin(block, true)?);
        }
        if let Some(block) = self.from.block() {
            uses.push(Use::begin(block, false)?);
        }
        // SAFETY: the uses are held until it has ended.
        check(unsafe { gpuio_request_submit(self.context.raw(), self.raw) })?;
        self.uses = uses;
        Ok(())
    }

    /// Blocks until it is complete, at most for so long, and answers how many bytes it moved, which are fewer than
    /// asked for at the end of a file; or `Timeout`, when it goes on or when its own timeout was over: see
    /// [`Request::status`].
    pub fn wait(&mut self, timeout: Option<Duration>) -> Result<u64> {
        let us = timeout.map_or(u64::MAX, |t| if t.is_zero() { 0 } else { microseconds(t) });
        // SAFETY: a number.
        let outcome = check(unsafe { gpuio_request_wait(self.context.raw(), self.raw, us) });
        self.give_back()?;
        let panic = self.watcher.as_ref().and_then(|w| w.panic.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
        outcome?;
        let mut result = gpuio_request_result_t { bytes: 0, error: 0, old_value: 0 };
        // SAFETY: a plain output.
        check(unsafe { gpuio_request_get_result(self.context.raw(), self.raw, &mut result) })?;
        Ok(result.bytes)
    }

    /// Gives the memory back when it has ended: in a final status the library does not touch it any more.
    fn give_back(&mut self) -> Result<()> {
        if self.status()?.is_final() {
            self.uses.clear();
        }
        Ok(())
    }

    /// `submit` and `wait`.
    pub fn run(&mut self) -> Result<u64> {
        self.submit()?;
        self.wait(None)
    }

    /// Asks it to end; it still completes.
    pub fn cancel(&self) -> Result<()> {
        self.canceller().cancel()
    }
    /// For another thread.
    pub fn canceller(&self) -> Canceller {
        Canceller { context: self.context.clone(), raw: self.raw }
    }

    /// Where it is.
    pub fn status(&self) -> Result<Status> {
        let mut status = GPUIO_STATUS_PENDING;
        // SAFETY: a plain output.
        check(unsafe { gpuio_request_get_status(self.context.raw(), self.raw, &mut status) })?;
        Ok(Status::of(status))
    }

    /// How far it is.
    pub fn progress(&self) -> Result<Progress> {
        let mut raw = gpuio_progress_t {
            bytes_total: 0,
            bytes_completed: 0,
            bytes_transferred: 0,
            progress_percent: 0.0,
            eta_ms: 0,
            status: 0,
            error: 0,
        };
        // SAFETY: a plain output.
        check(unsafe { gpuio_request_get_progress(self.context.raw(), self.raw, &mut raw) })?;
        Ok(Progress::of(&raw))
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        // SAFETY: nobody else has it.
        if unsafe { gpuio_request_destroy(self.context.raw(), self.raw) } == GPUIO_SUCCESS {
            return;
        }
        // Refused, as in a callback: it may be in flight for ever, so it keeps what it uses.
        std::mem::forget(std::mem::take(&mut self.uses));
        std::mem::forget(self.watcher.take());
        std::mem::forget((self.from.clone(), self.to.clone()));
    }
}
