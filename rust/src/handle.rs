use std::mem::MaybeUninit;
use std::ops::BitOr;
use std::os::raw::c_void;
use std::ptr;
use std::sync::Arc;

use crate::context::Context;
use crate::error::{c_string, check, text, Code, Error, Result};
use crate::memory::Block;
use crate::sys::*;

/// How a URI is opened; joined by `|`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Open(u32);

impl Open {
    /// To be read.
    pub const READ: Open = Open(GPUIO_OPEN_READ);
    /// To be written.
    pub const WRITE: Open = Open(GPUIO_OPEN_WRITE);
    /// Make it if it is missing.
    pub const CREATE: Open = Open(GPUIO_OPEN_CREATE);
    /// Empty it.
    pub const TRUNCATE: Open = Open(GPUIO_OPEN_TRUNCATE);
    /// Past the system's cache, or fail.
    pub const DIRECT: Open = Open(GPUIO_OPEN_DIRECT);
}

impl BitOr for Open {
    type Output = Open;
    fn bitor(self, other: Open) -> Open {
        Open(self.0 | other.0)
    }
}

/// What requests may do with a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Access {
    Read = GPUIO_MEM_READ as isize,
    Write = GPUIO_MEM_WRITE as isize,
    ReadWrite = GPUIO_MEM_READ_WRITE as isize,
}

/// What is known of something opened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HandleInfo {
    /// Bytes now.
    pub size: u64,
    /// Bytes that it likes to move at once.
    pub block_size: u32,
    /// Bytes: of offset, length and memory for direct IO.
    pub alignment: u32,
    /// Of `gpuio_capability_t`.
    pub capabilities: u64,
    /// The path really taken.
    pub route: String,
    /// Why not a better one; "" when it is the best.
    pub reason: String,
}

/// Something opened: a file, a drive, memory. Clones name the same.
#[derive(Clone)]
pub struct Handle(Arc<Opened>);

struct Opened {
    context: Context,
    raw: gpuio_handle_t,
}

// SAFETY: numbers that any thread may use.
unsafe impl Send for Opened {}
unsafe impl Sync for Opened {}

impl Drop for Opened {
    fn drop(&mut self) {
        // SAFETY: its regions keep it, so none is left.
        unsafe { gpuio_close(self.context.raw(), self.raw) };
    }
}

impl Handle {
    /// Blocks while it opens. A path, or a URI: `file:///a.bin`, `mem://scratch?size=1MiB`.
    pub fn open(context: &Context, uri: &str, how: Open) -> Result<Handle> {
        let uri = c_string(uri, "URI")?;
        let mut raw = ptr::null_mut();
        // SAFETY: the text is copied.
        check(unsafe { gpuio_open(context.raw(), uri.as_ptr(), how.0, &mut raw) })?;
        Ok(Handle(Arc::new(Opened { context: context.clone(), raw })))
    }

    /// As it is now.
    pub fn info(&self) -> Result<HandleInfo> {
        let mut raw = MaybeUninit::<gpuio_handle_info_t>::zeroed();
        // SAFETY: zeros are a valid value, and the call fills it.
        let raw = unsafe {
            check(gpuio_handle_info(self.0.context.raw(), self.0.raw, raw.as_mut_ptr()))?;
            raw.assume_init()
        };
        Ok(HandleInfo {
            size: raw.size,
            block_size: raw.block_size,
            alignment: raw.alignment,
            capabilities: raw.capabilities,
            route: text(&raw.route),
            reason: text(&raw.reason),
        })
    }

    /// Names a range of bytes, for requests; keeps the handle.
    pub fn region(&self, offset: u64, len: usize, access: Access) -> Result<Region> {
        let mut raw = empty_region();
        let context = self.0.context.raw();
        // SAFETY: a plain output.
        check(unsafe { gpuio_handle_region(context, self.0.raw, offset, len, access as _, &mut raw) })?;
        Ok(Region(Arc::new(Registered { raw, keeps: Keeps::Handle(self.clone()) })))
    }

    /// Reads into `to`; fewer bytes only at the end of the file. Blocks. Offsets are in bytes.
    pub fn read_at(&self, offset: u64, to: &mut [u8]) -> Result<usize> {
        // SAFETY: the slice is this call's alone until the transfer has ended, which is before it returns.
        unsafe { self.transfer(offset, to.as_mut_ptr() as *mut c_void, to.len(), Access::Read) }
    }

    /// Writes `from`. Blocks. An error may leave any part of the range written.
    pub fn write_at(&self, offset: u64, from: &[u8]) -> Result<usize> {
        // SAFETY: as in `read_at`; the bytes are only read.
        unsafe { self.transfer(offset, from.as_ptr() as *mut c_void, from.len(), Access::Write) }
    }

    unsafe fn transfer(&self, offset: u64, memory: *mut c_void, len: usize, way: Access) -> Result<usize> {
        if len == 0 {
            return Ok(0);
        }
        let ctx = self.0.context.raw();
        let there = self.region(offset, len, way)?;
        let mut there_raw = there.0.raw;
        let mut here = empty_region();
        let reads = way == Access::Read;
        let here_access = if reads { Access::Write } else { Access::Read };
        check(gpuio_register_memory(ctx, memory, len, here_access as _, &mut here))?;
        let (src, dst) = if reads { (&mut there_raw, &mut here) } else { (&mut here, &mut there_raw) };
        let params = gpuio_request_params_t { length: len, ..copy_params(src, dst) };
        let mut request = ptr::null_mut();
        let mut result = gpuio_request_result_t { bytes: 0, error: 0, old_value: 0 };
        let mut outcome = check(gpuio_request_create(ctx, &params, &mut request));
        if outcome.is_ok() {
            outcome = check(gpuio_request_submit(ctx, request));
            if outcome.is_ok() {
                outcome = check(gpuio_request_get_result(ctx, request, &mut result));
            }
            // It was never in flight, or has ended. Were it not so, the slice could not be given back.
            if gpuio_request_destroy(ctx, request) != GPUIO_SUCCESS {
                std::process::abort();
            }
        }
        gpuio_unregister_memory(ctx, &mut here);
        outcome.map(|()| result.bytes as usize)
    }

    /// Closes it and reports what dropping it would swallow. `Busy` while clones, regions or requests have it.
    pub fn close(self) -> Result<()> {
        match Arc::try_unwrap(self.0) {
            Ok(opened) => {
                let opened = std::mem::ManuallyDrop::new(opened);
                // SAFETY: the context is taken out once, and `opened` is not dropped.
                let context = unsafe { ptr::read(&opened.context) };
                // SAFETY: the last user of it.
                check(unsafe { gpuio_close(context.raw(), opened.raw) })
            }
            Err(_) => {
                Err(Error::new(Code::Busy, "the handle is still used: drop its clones, its regions and their requests"))
            }
        }
    }
}

pub(crate) fn empty_region() -> gpuio_memory_region_t {
    gpuio_memory_region_t {
        base_addr: ptr::null_mut(),
        gpu_addr: ptr::null_mut(),
        bus_addr: 0,
        length: 0,
        type_: 0,
        access: 0,
        gpu_id: -1,
        registered: false,
        handle: ptr::null_mut(),
    }
}

/// A copy that blocks, of no bytes so far.
pub(crate) fn copy_params(src: *mut gpuio_memory_region_t, dst: *mut gpuio_memory_region_t) -> gpuio_request_params_t {
    gpuio_request_params_t {
        type_: GPUIO_REQ_COPY,
        engine: GPUIO_ENGINE_MEMIO,
        src,
        src_offset: 0,
        dst,
        dst_offset: 0,
        length: 0,
        stream: ptr::null_mut(),
        async_: false,
        callback: None,
        user_data: ptr::null_mut(),
        timeout_us: 0,
        priority: 0,
    }
}

/// A range that requests can name: of memory, or of what a handle has opened, which it keeps. Clones name the same.
#[derive(Clone)]
pub struct Region(Arc<Registered>);

struct Registered {
    raw: gpuio_memory_region_t,
    keeps: Keeps,
}
enum Keeps {
    Handle(Handle),
    Memory(Arc<Block>),
}

// SAFETY: numbers that any thread may use; the addresses in `raw` are not followed here.
unsafe impl Send for Registered {}
unsafe impl Sync for Registered {}

impl Drop for Registered {
    fn drop(&mut self) {
        let context = match &self.keeps {
            Keeps::Handle(handle) => handle.0.context.raw(),
            Keeps::Memory(block) => block.context().raw(),
        };
        // SAFETY: its requests keep it, so none is left.
        unsafe { gpuio_unregister_memory(context, &mut self.raw) };
    }
}

impl Region {
    pub(crate) fn of_memory(block: &Arc<Block>, offset: usize, len: usize, access: Access) -> Result<Region> {
        let mut raw = empty_region();
        // SAFETY: the caller has checked the range, and the region keeps the memory.
        let memory = unsafe { (block.pointer() as *mut u8).add(offset) } as *mut c_void;
        // SAFETY: as above.
        check(unsafe { gpuio_register_memory(block.context().raw(), memory, len, access as _, &mut raw) })?;
        Ok(Region(Arc::new(Registered { raw, keeps: Keeps::Memory(block.clone()) })))
    }

    /// Bytes.
    pub fn len(&self) -> usize {
        self.0.raw.length
    }
    /// Never: a region has at least one byte.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    pub(crate) fn raw(&self) -> gpuio_memory_region_t {
        self.0.raw
    }
    pub(crate) fn context(&self) -> &Context {
        match &self.0.keeps {
            Keeps::Handle(handle) => &handle.0.context,
            Keeps::Memory(block) => block.context(),
        }
    }
    pub(crate) fn block(&self) -> Option<&Arc<Block>> {
        match &self.0.keeps {
            Keeps::Handle(_) => None,
            Keeps::Memory(block) => Some(block),
        }
    }
}
