use std::marker::PhantomData;
use std::mem::{size_of, size_of_val, MaybeUninit};
use std::os::raw::c_void;
use std::ptr;
use std::sync::Arc;

use crate::context::Context;
use crate::error::{c_string, check, Code, Error, Result};
use crate::memory::Element;
use crate::sys::*;

/// What a URI names, as a read-only array of the current device that fills on demand. Kernels index it; the CPU reads
/// through the same cache. Clones name the same array.
pub struct Array<T: Element> {
    proxy: Arc<Proxy>,
    bytes: u64,
    element: PhantomData<T>,
}

pub(crate) struct Proxy {
    context: Context,
    raw: gpuio_proxy_t,
}

// SAFETY: numbers that any thread may use.
unsafe impl Send for Proxy {}
unsafe impl Sync for Proxy {}

impl Drop for Proxy {
    fn drop(&mut self) {
        // SAFETY: the last user of it; a kernel that runs over it keeps it.
        unsafe { gpuio_proxy_destroy(self.context.raw(), self.raw) };
    }
}

impl<T: Element> Clone for Array<T> {
    fn clone(&self) -> Self {
        Array { proxy: self.proxy.clone(), bytes: self.bytes, element: PhantomData }
    }
}

/// What an array's cache has done.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ArrayStats {
    /// Bytes of a page.
    pub page_size: u64,
    /// Of this array, in the cache now.
    pub pages_resident: u64,
    /// Pages that reads of the CPU found; a hit in a kernel costs a load and is not counted.
    pub hits: u64,
    /// Accesses of kernels that were answered from the target, and pages that reads missed.
    pub misses: u64,
    /// Pages.
    pub evictions: u64,
}

impl<T: Element> Array<T> {
    /// All of it; an element that ends past the target is padded with zeros. Nothing is read yet. Blocks while it opens.
    pub fn open(context: &Context, uri: &str) -> Result<Array<T>> {
        Array::make(context, uri, 0)
    }

    /// The first elements of it. `InvalidArgument` when the target holds fewer.
    pub fn open_first(context: &Context, uri: &str, elements: usize) -> Result<Array<T>> {
        match elements.checked_mul(size_of::<T>()) {
            Some(0) => Err(Error::new(Code::InvalidArgument, "an array of 0 elements; give at least one")),
            Some(bytes) => Array::make(context, uri, bytes),
            None => Err(Error::new(Code::InvalidArgument, format!("{elements} elements are more than can be"))),
        }
    }

    fn make(context: &Context, uri: &str, bytes: usize) -> Result<Array<T>> {
        let uri = c_string(uri, "URI")?;
        let mut raw = ptr::null_mut();
        // SAFETY: the text is copied.
        check(unsafe { gpuio_proxy_create(context.raw(), uri.as_ptr(), bytes, &mut raw) })?;
        let proxy = Arc::new(Proxy { context: context.clone(), raw });
        let bytes = stats(&proxy)?.size;
        Ok(Array { proxy, bytes, element: PhantomData })
    }

    /// Elements.
    pub fn len(&self) -> u64 {
        (self.bytes + size_of::<T>() as u64 - 1) / size_of::<T>() as u64
    }
    /// Never: an array has at least one byte.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }
    /// Bytes of the target, without padding.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
    pub(crate) fn raw(&self) -> gpuio_proxy_t {
        self.proxy.raw
    }

    fn offset(&self, start: u64, count: u64) -> Result<(u64, usize)> {
        let end = start.checked_add(count).filter(|&end| end <= self.len());
        let end = end.ok_or_else(|| {
            let message = format!("{count} elements at {start} of an array of {}: stay within it", self.len());
            Error::new(Code::InvalidAddress, message)
        })?;
        let size = size_of::<T>() as u64;
        let offset = start * size;
        Ok((offset, (self.bytes.min(end * size) - offset.min(self.bytes)) as usize))
    }

    /// Reads elements for the CPU. Blocks. `InvalidAddress` when they leave the array.
    pub fn read(&self, start: u64, to: &mut [T]) -> Result<()> {
        let (offset, bytes) = self.offset(start, to.len() as u64)?;
        let memory = to.as_mut_ptr() as *mut u8;
        // SAFETY: `bytes` of the slice, the rest of which is padding; the call waits for them.
        unsafe {
            ptr::write_bytes(memory.add(bytes), 0, size_of_val(to) - bytes);
            if bytes == 0 {
                return Ok(());
            }
            check(gpuio_proxy_read(self.proxy.context.raw(), self.raw(), offset, memory as *mut c_void, bytes))
        }
    }

    /// Reads one element.
    pub fn get(&self, index: u64) -> Result<T> {
        // SAFETY: all zeros is a value of every Element.
        let mut value = [unsafe { MaybeUninit::<T>::zeroed().assume_init() }];
        self.read(index, &mut value)?;
        Ok(value[0])
    }

    /// Brings elements into the cache ahead of their use, at most as many as it holds. Blocks until they are there.
    pub fn prefetch(&self, start: u64, count: u64) -> Result<()> {
        let (offset, bytes) = self.offset(start, count)?;
        if bytes == 0 {
            return Ok(());
        }
        let context = self.proxy.context.raw();
        // SAFETY: numbers.
        check(unsafe { gpuio_proxy_prefetch(context, self.raw(), offset, bytes, ptr::null_mut()) })
    }

    /// What its cache has done for it.
    pub fn stats(&self) -> Result<ArrayStats> {
        let raw = stats(&self.proxy)?;
        Ok(ArrayStats {
            page_size: raw.page_size,
            pages_resident: raw.pages_resident,
            hits: raw.hits,
            misses: raw.misses,
            evictions: raw.evictions,
        })
    }
}

fn stats(proxy: &Proxy) -> Result<gpuio_proxy_stats_t> {
    let mut raw = MaybeUninit::<gpuio_proxy_stats_t>::zeroed();
    // SAFETY: zeros are a valid value, and the call fills it.
    unsafe {
        check(gpuio_proxy_get_stats(proxy.context.raw(), proxy.raw, raw.as_mut_ptr()))?;
        Ok(raw.assume_init())
    }
}
