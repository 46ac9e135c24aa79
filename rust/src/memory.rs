use std::marker::PhantomData;
use std::ops::{Bound, Deref, DerefMut, RangeBounds};
use std::os::raw::c_void;
use std::ptr;
use std::sync::atomic::{AtomicIsize, Ordering};
use std::sync::Arc;

use crate::context::Context;
use crate::error::{check, Code, Error, Result};
use crate::handle::{Access, Region};
use crate::sys::*;

/// A plain value that kernels and the CPU see alike.
///
/// # Safety
/// Every pattern of its bits is a value, it has no padding, and it is of 1, 2, 4 or 8 bytes.
pub unsafe trait Element: Copy + Send + Sync + 'static {}
macro_rules! elements {
    ($($t:ty)*) => {$(
        // SAFETY: a number.
        unsafe impl Element for $t {}
    )*};
}
elements!(u8 i8 u16 i16 u32 i32 u64 i64 f32 f64);

/// Where memory lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The host's own.
    Host,
    /// The host's, and kernels reach it.
    Pinned,
    /// The device's: [`Memory::upload`] and [`Memory::download`].
    Device,
    /// Both reach it by one address.
    Unified,
}

/// The memory, and who uses it: -1 for one that writes, else the number of those that read.
pub(crate) struct Block {
    context: Context,
    pointer: *mut c_void,
    bytes: usize,
    place: Place,
    users: AtomicIsize,
}

// SAFETY: `users` decides who touches what `pointer` names.
unsafe impl Send for Block {}
unsafe impl Sync for Block {}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: nobody uses it: every use keeps the block.
        unsafe { gpuio_free(self.context.raw(), self.pointer) };
    }
}

impl Block {
    pub(crate) fn pointer(&self) -> *mut c_void {
        self.pointer
    }
    pub(crate) fn context(&self) -> &Context {
        &self.context
    }
}

/// A use of memory, by a guard, a request or a kernel; ends when it is dropped.
pub(crate) struct Use {
    block: Arc<Block>,
    alone: bool,
}

impl Use {
    pub(crate) fn begin(block: &Arc<Block>, alone: bool) -> Result<Use> {
        // Acquire: what an earlier user wrote before its release is seen.
        let taken = block.users.fetch_update(Ordering::Acquire, Ordering::Relaxed, |n| match (n, alone) {
            (0, true) => Some(-1),
            (0..=0x7fff_ffff, false) => Some(n + 1),
            _ => None,
        });
        match taken {
            Ok(_) => Ok(Use { block: block.clone(), alone }),
            Err(n) => Err(Error::new(
                Code::Busy,
                format!(
                    "memory of {} bytes cannot be {} while it is {}; wait for the request, synchronize the stream \
                     of the kernel, or drop the guard first",
                    block.bytes,
                    if alone { "written" } else { "read" },
                    if n < 0 { "being written" } else { "being read" }
                ),
            )),
        }
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        // Release: pairs with the acquire of the next user.
        if self.alone {
            self.block.users.store(0, Ordering::Release);
        } else {
            self.block.users.fetch_sub(1, Ordering::Release);
        }
    }
}

/// `len` elements of the library's own memory. Clones share it; see the crate on who may use it when.
pub struct Memory<T: Element> {
    block: Arc<Block>,
    len: usize,
    element: PhantomData<T>,
}

impl<T: Element> Clone for Memory<T> {
    fn clone(&self) -> Self {
        Memory { block: self.block.clone(), len: self.len, element: PhantomData }
    }
}

/// What is read; the memory cannot be written meanwhile.
pub struct Reading<'a, T: Element> {
    slice: &'a [T],
    _use: Use,
}
/// What is written; nobody else has the memory meanwhile.
pub struct Writing<'a, T: Element> {
    slice: &'a mut [T],
    _use: Use,
}

impl<T: Element> Deref for Reading<'_, T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        self.slice
    }
}
impl<T: Element> Deref for Writing<'_, T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        self.slice
    }
}
impl<T: Element> DerefMut for Writing<'_, T> {
    fn deref_mut(&mut self) -> &mut [T] {
        self.slice
    }
}

impl<T: Element> Memory<T> {
    /// Zeros, but undefined in [`Place::Device`]. `NoMemory` at once when there is not enough.
    pub fn new(context: &Context, len: usize, place: Place) -> Result<Memory<T>> {
        let bytes = len.checked_mul(std::mem::size_of::<T>()).filter(|&n| n <= isize::MAX as usize);
        let bytes = bytes.ok_or_else(|| Error::new(Code::NoMemory, format!("{len} elements are more than can be")))?;
        let allocate = match place {
            Place::Host => gpuio_malloc,
            Place::Pinned => gpuio_malloc_pinned,
            Place::Device => gpuio_malloc_device,
            Place::Unified => gpuio_malloc_unified,
        };
        let mut pointer = ptr::null_mut();
        // SAFETY: of `bytes` bytes, which the CPU reaches except those of a device.
        unsafe {
            check(allocate(context.raw(), bytes, &mut pointer))?;
            if place != Place::Device && bytes > 0 {
                ptr::write_bytes(pointer as *mut u8, 0, bytes);
            }
        }
        let block = Block { context: context.clone(), pointer, bytes, place, users: AtomicIsize::new(0) };
        Ok(Memory { block: Arc::new(block), len, element: PhantomData })
    }

    /// Elements.
    pub fn len(&self) -> usize {
        self.len
    }
    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
    /// Where it lies.
    pub fn place(&self) -> Place {
        self.block.place
    }
    pub(crate) fn block(&self) -> &Arc<Block> {
        &self.block
    }

    fn host(&self) -> Result<*mut T> {
        match self.block.place {
            Place::Device => Err(Error::new(
                Code::InvalidArgument,
                "memory of a device is not for the CPU to index; use upload and download",
            )),
            _ if self.len == 0 => Ok(ptr::NonNull::dangling().as_ptr()),
            _ => Ok(self.block.pointer as *mut T),
        }
    }

    /// `Busy` while something writes it.
    pub fn read(&self) -> Result<Reading<'_, T>> {
        let pointer = self.host()?;
        let used = Use::begin(&self.block, false)?;
        // SAFETY: that many elements, initialised, which nobody writes as long as `used` lives.
        Ok(Reading { slice: unsafe { std::slice::from_raw_parts(pointer, self.len) }, _use: used })
    }

    /// `Busy` while something else has it.
    pub fn write(&self) -> Result<Writing<'_, T>> {
        let pointer = self.host()?;
        let used = Use::begin(&self.block, true)?;
        // SAFETY: as in `read`, and nobody else has it.
        Ok(Writing { slice: unsafe { std::slice::from_raw_parts_mut(pointer, self.len) }, _use: used })
    }

    fn check_len(&self, len: usize) -> Result<()> {
        if len <= self.len {
            return Ok(());
        }
        let message = format!("a copy of {len} elements with memory of {}; make the slice shorter", self.len);
        Err(Error::new(Code::InvalidArgument, message))
    }

    /// Copies into its first elements. Blocks until they are there; `Busy` while something else has it. After
    /// `Timeout`, which earlier work of the device can bring about, it still waits until nobody uses the slice.
    pub fn upload(&self, from: &[T]) -> Result<()> {
        self.check_len(from.len())?;
        let _use = Use::begin(&self.block, true)?;
        let to = self.block.pointer;
        // SAFETY: both are of that size, and the call waits for the bytes.
        unsafe { self.copy(to, from.as_ptr() as *const c_void, std::mem::size_of_val(from)) }
    }

    /// Copies its first elements. Blocks until they are there; `Busy` while something writes it. `Timeout` as in
    /// [`Memory::upload`].
    pub fn download(&self, to: &mut [T]) -> Result<()> {
        self.check_len(to.len())?;
        let _use = Use::begin(&self.block, false)?;
        // SAFETY: as in `upload`.
        unsafe { self.copy(to.as_mut_ptr() as *mut c_void, self.block.pointer, std::mem::size_of_val(to)) }
    }

    unsafe fn copy(&self, to: *mut c_void, from: *const c_void, bytes: usize) -> Result<()> {
        if bytes == 0 {
            return Ok(());
        }
        let context = self.block.context.raw();
        let outcome = check(gpuio_memcpy(context, to, from, bytes, ptr::null_mut()));
        if outcome.as_ref().map_err(|e| e.code()) == Err(Code::Timeout) {
            // A slice that was lent cannot be left to the copy, so there is no bound here.
            while gpuio_stream_synchronize(context, ptr::null_mut()) == GPUIO_ERROR_TIMEOUT {}
        }
        outcome
    }

    /// A range of elements, for requests.
    pub fn region(&self, range: impl RangeBounds<usize>) -> Result<Region> {
        let start = match range.start_bound() {
            Bound::Included(&n) => n,
            Bound::Excluded(&n) => n.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(&n) => n.saturating_add(1),
            Bound::Excluded(&n) => n,
            Bound::Unbounded => self.len,
        };
        if start >= end || end > self.len {
            let message = format!("elements {start}..{end} of memory of {}: give at least one that is there", self.len);
            return Err(Error::new(Code::InvalidArgument, message));
        }
        let size = std::mem::size_of::<T>();
        Region::of_memory(&self.block, start * size, (end - start) * size, Access::ReadWrite)
    }
}
