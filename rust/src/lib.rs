//! Safe types over libgpuio: kernels index files and memory as if they were arrays, and bytes move by request.
//!
//! ```no_run
//! # fn main() -> gpuio::Result<()> {
//! use gpuio::{Arg, Array, Context, Kernel, Memory, Place, Stream};
//!
//! let context = Context::new()?;
//! let words = Array::<u64>::open(&context, "/data/table.bin")?; // nothing is read yet
//! let counts = Memory::<u64>::new(&context, 256, Place::Pinned)?;
//! let (found, failed) = (Memory::<u64>::new(&context, 1, Place::Pinned)?, Memory::<u32>::new(&context, 1, Place::Pinned)?);
//! // `gpuio kernel export scan scan.gkir` wrote it.
//! let scan = unsafe { Kernel::load(&context, &std::fs::read("scan.gkir").expect("scan.gkir"))? };
//! let none = Arg::from(0u64);
//! let arguments = [(&words).into(), (&counts).into(), (&found).into(), (&failed).into(), words.bytes().into(), none, none, 0u32.into()];
//! let report = Stream::new(&context)?.run(&scan, [64, 1, 1], &arguments)?;
//! println!("{} zeros, {} pages brought", counts.read()?[0], report.pages);
//! # Ok(())
//! # }
//! ```
//!
//! **Lifetime.** Whatever is made from a [`Context`] keeps it, so the order in which values end does not matter; the C
//! context ends with the last of them. A request keeps its regions, and a region keeps the handle or memory that it
//! names: none of them can go away beneath a transfer, also when the request is forgotten instead of dropped.
//!
//! **Memory** is shared by its clones and borrowed at run time, like a `RefCell` that threads may share: a kernel or a
//! request that writes holds it alone, those that read hold it together, and so do [`Memory::read`] and
//! [`Memory::write`]. Who comes too late gets [`Code::Busy`]; nothing blocks.
//!
//! **Threads.** Everything is `Send` and `Sync`: the C interface may be called from any thread. What must not happen at
//! once takes `&mut self` ([`Request::submit`], [`Request::wait`]); a [`Canceller`] ends a wait from elsewhere.
//!
//! **Errors** are an [`Error`]: a [`Code`], and a message that names the thing, the value and the remedy. Values that
//! end never panic; what the library does not give back is leaked.
//!
//! **Unsafe** is loading a kernel: [`Kernel::load`] and [`Kernel::load_format`]. A device does not check where a kernel
//! writes.
//!
//! Not here, because the C interface answers UNSUPPORTED for it: batches, atomics, scatter and gather, gpuio_ai.h. Not
//! here either: native code of kernels, completion callbacks, mapped arrays.
#![warn(missing_docs)]

mod array;
mod context;
mod error;
mod handle;
mod kernel;
mod memory;
mod request;
mod stream;
pub mod sys;

pub use array::{Array, ArrayStats};
pub use context::{set_log_level, version, Config, Context, DeviceInfo, LogLevel, Stats, Vendor};
pub use error::{Code, Error, Result};
pub use handle::{Access, Handle, HandleInfo, Open, Region};
pub use kernel::{Arg, Format, Kernel, KernelInfo, Miss, Number, Options, Report, Source};
pub use memory::{Element, Memory, Place, Reading, Writing};
pub use request::{Canceller, Progress, Request, RequestBuilder, Status};
pub use stream::{Event, Stream};
