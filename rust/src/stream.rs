use std::ptr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::context::Context;
use crate::error::{check, Code, Result};
use crate::memory::Use;
use crate::sys::*;

/// Work in order, on the device that was current when it was made. Clones name the same stream.
#[derive(Clone)]
pub struct Stream(Arc<Queue>);

pub(crate) struct Queue {
    context: Context,
    raw: gpuio_stream_t,
    /// What kernels in it use that nobody waited for yet.
    pending: Mutex<Vec<Use>>,
}

// SAFETY: numbers that any thread may use.
unsafe impl Send for Queue {}
unsafe impl Sync for Queue {}

impl Queue {
    fn pending(&self) -> MutexGuard<'_, Vec<Use>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn synchronize(&self) -> Result<()> {
        // What comes in meanwhile stays.
        let uses = std::mem::take(&mut *self.pending());
        // SAFETY: a number.
        let outcome = check(unsafe { gpuio_stream_synchronize(self.context.raw(), self.raw) });
        match outcome.as_ref().map_err(|e| e.code()) {
            // A lost device may still run what it was given: the memory is never anybody else's again.
            Err(Code::DeviceLost) => std::mem::forget(uses),
            // Refused in a callback, or not done in time: nothing has ended.
            Err(Code::Busy | Code::Timeout) => self.pending().extend(uses),
            _ => drop(uses),
        }
        outcome
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        let _ = self.synchronize();
        // SAFETY: the last user of it. Where it refuses, the stream goes on until its context ends.
        if unsafe { gpuio_stream_destroy(self.context.raw(), self.raw) } != GPUIO_SUCCESS {
            std::mem::forget(std::mem::take(&mut *self.pending()));
        }
    }
}

impl Stream {
    /// On the current device.
    pub fn new(context: &Context) -> Result<Stream> {
        let mut raw = ptr::null_mut();
        // SAFETY: a plain output.
        check(unsafe { gpuio_stream_create(context.raw(), &mut raw, GPUIO_STREAM_DEFAULT) })?;
        Ok(Stream(Arc::new(Queue { context: context.clone(), raw, pending: Mutex::new(Vec::new()) })))
    }

    pub(crate) fn raw(&self) -> gpuio_stream_t {
        self.0.raw
    }
    pub(crate) fn context(&self) -> &Context {
        &self.0.context
    }
    /// The uses end when somebody has waited for the stream.
    pub(crate) fn keep(&self, uses: Vec<Use>) {
        self.0.pending().extend(uses);
    }

    /// Blocks until all work given so far is done, and answers the first error among it; or `Timeout` after
    /// wait.limit_ms of the configuration, ten minutes: then it goes on, with its memory.
    pub fn synchronize(&self) -> Result<()> {
        self.0.synchronize()
    }

    /// Whether nothing is left to do. The memory of what ran is free after [`Stream::synchronize`] only.
    pub fn is_idle(&self) -> Result<bool> {
        let mut idle = false;
        // SAFETY: a plain output.
        check(unsafe { gpuio_stream_query(self.context().raw(), self.raw(), &mut idle) })?;
        Ok(idle)
    }
}

/// A point in a stream, to wait for and to measure between.
pub struct Event {
    context: Context,
    raw: gpuio_event_t,
}

// SAFETY: numbers that any thread may use.
unsafe impl Send for Event {}
unsafe impl Sync for Event {}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: nobody else has it.
        unsafe { gpuio_event_destroy(self.context.raw(), self.raw) };
    }
}

impl Event {
    /// Not recorded yet.
    pub fn new(context: &Context) -> Result<Event> {
        let mut raw = ptr::null_mut();
        // SAFETY: a plain output.
        check(unsafe { gpuio_event_create(context.raw(), &mut raw) })?;
        Ok(Event { context: context.clone(), raw })
    }
    /// Completes when all that the stream was given so far has; forgets the earlier point.
    pub fn record(&self, stream: &Stream) -> Result<()> {
        // SAFETY: numbers.
        check(unsafe { gpuio_event_record(self.context.raw(), self.raw, stream.raw()) })
    }
    /// Blocks until it has completed; `InvalidArgument` if it was never recorded.
    pub fn synchronize(&self) -> Result<()> {
        // SAFETY: a number.
        check(unsafe { gpuio_event_synchronize(self.context.raw(), self.raw) })
    }
    /// Milliseconds, both recorded in one stream; `Busy` while one of them is not complete.
    pub fn elapsed_ms_since(&self, start: &Event) -> Result<f32> {
        let mut ms = 0.0;
        // SAFETY: a plain output.
        check(unsafe { gpuio_event_elapsed_time(self.context.raw(), start.raw, self.raw, &mut ms) })?;
        Ok(ms)
    }
}
