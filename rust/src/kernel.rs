use std::marker::PhantomData;
use std::mem::{size_of, MaybeUninit};
use std::os::raw::{c_int, c_void};
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use crate::array::Array;
use crate::context::Context;
use crate::error::{c_string, check, microseconds, text, Code, Result};
use crate::memory::{Block, Element, Memory, Use};
use crate::stream::Stream;
use crate::sys::*;

/// A kernel, loaded. C++ writes serialized ones with gpuio/kernel.hpp, and `gpuio kernel export` those that come with the
/// library. Clones name the same kernel.
#[derive(Clone)]
pub struct Kernel(Arc<Loaded>);

struct Loaded {
    context: Context,
    raw: gpuio_kernel_t,
    /// One a parameter: whether it is an input, which others may read at the same time.
    inputs: Vec<bool>,
}

// SAFETY: numbers that any thread may use.
unsafe impl Send for Loaded {}
unsafe impl Sync for Loaded {}

impl Drop for Loaded {
    fn drop(&mut self) {
        // SAFETY: the last user of it; what was launched goes on by itself.
        unsafe { gpuio_kernel_destroy(self.context.raw(), self.raw) };
    }
}

/// Which parameters are inputs, of bytes that the library has read: gpuio/kernel/serialize.hpp. Of a format that is not
/// known here none is, which is safe.
fn inputs_of(ir: &[u8]) -> Vec<bool> {
    const HEADER: usize = 44;
    const PARAMETER: usize = 12;
    const INPUT: u8 = 1; // of ParamKind
    let word = |at: usize| ir.get(at..at + 4).map_or(0, |b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    if ir.get(..4) != Some(b"GKIR") || word(4) != 1 {
        return Vec::new();
    }
    let (name, parameters) = (word(24) as usize, word(28) as usize);
    (0..parameters).map(|n| ir.get(HEADER + name + n * PARAMETER) == Some(&INPUT)).collect()
}

impl Kernel {
    /// Reads and checks it, and makes it ready for the current device; `InvalidArgument` names the byte that is wrong.
    ///
    /// # Safety
    /// Devices do not check what a kernel does. Whatever arguments it is launched with, it reads and writes only
    /// elements that they have, its lanes do not race, and it ends.
    pub unsafe fn load(context: &Context, ir: &[u8]) -> Result<Kernel> {
        let mut raw = ptr::null_mut();
        check(gpuio_kernel_load(context.raw(), ir.as_ptr() as *const c_void, ir.len(), &mut raw))?;
        Ok(Kernel(Arc::new(Loaded { context: context.clone(), raw, inputs: inputs_of(ir) })))
    }

    /// The same, of any format. What gpuio has written, SPIR-V and PTX with the IR in them too, runs on every device;
    /// SPIR-V of other makers on Vulkan, their PTX on CUDA. `Unsupported` says which device can.
    ///
    /// # Safety
    /// As [`Kernel::load`]. Function bodies of other makers are not even looked at: a module that is no good may take
    /// the process with it.
    pub unsafe fn load_format(context: &Context, bytes: &[u8], source: &Source<'_>) -> Result<Kernel> {
        let entry = source.entry.map(|e| c_string(e, "entry")).transpose()?;
        let constants: Vec<gpuio_constant_t> =
            source.constants.iter().map(|&(id, number)| number.constant(id)).collect();
        let options = gpuio_kernel_options_t {
            format: match source.format {
                Format::Auto => GPUIO_FORMAT_AUTO,
                Format::Ir => GPUIO_FORMAT_IR,
                Format::SpirV => GPUIO_FORMAT_SPIRV,
                Format::Ptx => GPUIO_FORMAT_PTX,
                Format::Adead => GPUIO_FORMAT_ADEAD,
            },
            entry: entry.as_ref().map_or(ptr::null(), |e| e.as_ptr()),
            constants: if constants.is_empty() { ptr::null() } else { constants.as_ptr() },
            num_constants: constants.len() as c_int,
            block: source.block,
        };
        let mut raw = ptr::null_mut();
        let data = bytes.as_ptr() as *const c_void;
        check(gpuio_kernel_load_format(context.raw(), data, bytes.len(), &options, &mut raw))?;
        Ok(Kernel(Arc::new(Loaded { context: context.clone(), raw, inputs: inputs_of(bytes) })))
    }

    /// Its name, workgroup and parameters.
    pub fn info(&self) -> Result<KernelInfo> {
        let mut raw = MaybeUninit::<gpuio_kernel_info_t>::zeroed();
        // SAFETY: zeros are a valid value, and the call fills it.
        let raw = unsafe {
            check(gpuio_kernel_get_info(self.0.context.raw(), self.0.raw, raw.as_mut_ptr()))?;
            raw.assume_init()
        };
        Ok(KernelInfo {
            name: text(&raw.name),
            block: raw.block,
            parameters: raw.num_parameters as u32,
            portable: raw.portable,
        })
    }

    /// From another thread: the runs of it that are blocked end with `Canceled`.
    pub fn cancel(&self) -> Result<()> {
        // SAFETY: a number.
        check(unsafe { gpuio_kernel_cancel(self.0.context.raw(), self.0.raw) })
    }
}

/// How the bytes of a kernel are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Format {
    /// Told apart by the first bytes; ADead-BIB's accumulator code has to be named.
    Auto,
    Ir,
    SpirV,
    Ptx,
    Adead,
}

/// What [`Kernel::load_format`] cannot find in the bytes.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// Of the bytes.
    pub format: Format,
    /// Of SPIR-V and PTX; `None`: the only one.
    pub entry: Option<&'a str>,
    /// Specialization constants of SPIR-V, by SpecId.
    pub constants: &'a [(u32, Number)],
    /// Lanes of a workgroup, of PTX that does not say and of ADead-BIB code; zeros: it does.
    pub block: [u32; 3],
}

impl Default for Source<'_> {
    fn default() -> Self {
        Source { format: Format::Auto, entry: None, constants: &[], block: [0; 3] }
    }
}

/// A number for a scalar of any type, which it is converted to; `InvalidArgument` where that would change it.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Number {
    Integer(i64),
    Real(f64),
}

impl Number {
    fn parts(self) -> (gpuio_argument_kind_t, u64) {
        match self {
            Number::Integer(n) => (GPUIO_ARG_INTEGER, n as u64),
            Number::Real(x) => (GPUIO_ARG_REAL, x.to_bits()),
        }
    }
    fn constant(self, id: u32) -> gpuio_constant_t {
        let (kind, bits) = self.parts();
        gpuio_constant_t { id, kind, bits, name: ptr::null() }
    }
}

impl From<Number> for Arg<'_> {
    fn from(number: Number) -> Self {
        let (kind, bits) = number.parts();
        Arg { raw: gpuio_argument_t { kind, bits, ..NO_ARGUMENT }, block: None, _array: PhantomData }
    }
}

/// What a kernel says of itself.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct KernelInfo {
    /// Of the kernel, or of the entry.
    pub name: String,
    /// Lanes of a workgroup.
    pub block: [u32; 3],
    /// How many it has.
    pub parameters: u32,
    /// Whether it runs on every device.
    pub portable: bool,
}

/// One argument of a kernel: a [`Memory`], an [`Array`], or a number.
#[derive(Clone, Copy)]
pub struct Arg<'a> {
    raw: gpuio_argument_t,
    block: Option<&'a Arc<Block>>,
    _array: PhantomData<&'a ()>,
}

// SAFETY: it borrows what it names, which any thread may use; its addresses are not followed here.
unsafe impl Send for Arg<'_> {}
unsafe impl Sync for Arg<'_> {}

const NO_ARGUMENT: gpuio_argument_t = gpuio_argument_t {
    kind: GPUIO_ARG_SCALAR,
    element_size: 0,
    memory: ptr::null_mut(),
    count: 0,
    bits: 0,
    proxy: ptr::null_mut(),
};

impl<'a, T: Element> From<&'a Memory<T>> for Arg<'a> {
    fn from(memory: &'a Memory<T>) -> Self {
        let raw = gpuio_argument_t {
            kind: GPUIO_ARG_MEMORY,
            element_size: size_of::<T>() as u32,
            memory: memory.block().pointer(),
            count: memory.len() as u64,
            ..NO_ARGUMENT
        };
        Arg { raw, block: Some(memory.block()), _array: PhantomData }
    }
}

impl<'a, T: Element> From<&'a Array<T>> for Arg<'a> {
    fn from(array: &'a Array<T>) -> Self {
        let raw = gpuio_argument_t {
            kind: GPUIO_ARG_PROXY,
            element_size: size_of::<T>() as u32,
            proxy: array.raw(),
            ..NO_ARGUMENT
        };
        Arg { raw, block: None, _array: PhantomData }
    }
}

macro_rules! scalars {
    ($($t:ty, $bits:expr;)*) => {$(
        impl From<$t> for Arg<'_> {
            fn from(value: $t) -> Self {
                let bits: fn($t) -> u64 = $bits;
                let raw = gpuio_argument_t { element_size: size_of::<$t>() as u32, bits: bits(value), ..NO_ARGUMENT };
                Arg { raw, block: None, _array: PhantomData }
            }
        }
    )*};
}
scalars! {
    u8, |v| v.into();
    i8, |v| (v as u8).into();
    u16, |v| v.into();
    i16, |v| (v as u16).into();
    u32, |v| v.into();
    i32, |v| (v as u32).into();
    u64, |v| v;
    i64, |v| v as u64;
    f32, |v| v.to_bits().into();
    f64, |v| v.to_bits();
}

/// How accesses that miss the cache are met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Miss {
    /// As suits the device.
    Auto,
    /// The kernel waits.
    Wait,
    /// Its lanes save where they are and end, and go on in the next launch.
    Yield,
}

/// Of a run.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How misses are met.
    pub miss: Miss,
    /// `None`: no limit. A kernel cannot be taken back: see [`Stream::run_with`].
    pub timeout: Option<Duration>,
    /// The kernel looks at the status of its accesses: their failure is not the run's.
    pub allow_failures: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options { miss: Miss::Auto, timeout: None, allow_failures: false }
    }
}

/// What a run came to.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// The way taken; `Auto` without on-demand arrays.
    pub miss: Miss,
    /// Launches on the device.
    pub launches: u32,
    /// Accesses that the host had to answer.
    pub misses: u64,
    /// Of them, answered with an error.
    pub failures: u64,
    /// Pages brought.
    pub pages: u64,
    /// How long it took.
    pub time: Duration,
    /// Why not the other way, or what the last failed access said; "" if neither.
    pub reason: String,
}

/// The arguments as C takes them, and the memory taken for them.
fn prepare(kernel: &Kernel, arguments: &[Arg<'_>]) -> Result<(Vec<gpuio_argument_t>, Vec<Use>)> {
    let mut uses = Vec::new();
    for (n, argument) in arguments.iter().enumerate() {
        if let Some(block) = argument.block {
            uses.push(Use::begin(block, !kernel.0.inputs.get(n).copied().unwrap_or(false))?);
        }
    }
    Ok((arguments.iter().map(|a| a.raw).collect(), uses))
}

impl Stream {
    /// Runs so many workgroups, each number 1 to 65535, after what the stream was given before, and blocks until every
    /// lane has ended.
    pub fn run(&self, kernel: &Kernel, groups: [u32; 3], arguments: &[Arg<'_>]) -> Result<Report> {
        self.run_with(kernel, groups, arguments, &Options::default())
    }

    /// The same, with options. After `Timeout` and `Canceled` a kernel without on-demand arrays goes on, and has its
    /// memory until the stream is synchronized; one with such arrays has ended. When accesses failed the answer is what
    /// the last of them said, though every lane ran to its end.
    pub fn run_with(
        &self,
        kernel: &Kernel,
        groups: [u32; 3],
        arguments: &[Arg<'_>],
        options: &Options,
    ) -> Result<Report> {
        let (raw, uses) = prepare(kernel, arguments)?;
        let options = gpuio_launch_options_t {
            miss: match options.miss {
                Miss::Auto => GPUIO_MISS_AUTO,
                Miss::Wait => GPUIO_MISS_WAIT,
                Miss::Yield => GPUIO_MISS_YIELD,
            },
            timeout_us: options.timeout.map_or(0, microseconds),
            allow_failures: options.allow_failures,
        };
        let mut report = MaybeUninit::<gpuio_launch_report_t>::zeroed();
        // SAFETY: of `load`; the memory is held until the kernel has ended. Zeros are a valid report.
        let (outcome, report) = unsafe {
            let outcome = check(gpuio_kernel_run(
                self.context().raw(),
                kernel.0.raw,
                groups.as_ptr(),
                raw.as_ptr(),
                raw.len() as c_int,
                self.raw(),
                &options,
                report.as_mut_ptr(),
            ));
            (outcome, report.assume_init())
        };
        match outcome.as_ref().map_err(|e| e.code()) {
            Err(Code::DeviceLost) => std::mem::forget(uses),
            Err(Code::Timeout | Code::Canceled) if raw.iter().all(|a| a.kind != GPUIO_ARG_PROXY) => self.keep(uses),
            _ => drop(uses),
        }
        outcome?;
        Ok(Report {
            miss: match report.miss {
                GPUIO_MISS_WAIT => Miss::Wait,
                GPUIO_MISS_YIELD => Miss::Yield,
                _ => Miss::Auto,
            },
            launches: report.launches,
            misses: report.misses,
            failures: report.failures,
            pages: report.pages,
            time: Duration::from_secs_f64(report.seconds.max(0.0)),
            reason: text(&report.reason),
        })
    }

    /// As [`Stream::run`], but does not wait: the memory is the kernel's until the stream is synchronized. With
    /// on-demand arrays it blocks until every lane has ended.
    pub fn launch(&self, kernel: &Kernel, groups: [u32; 3], arguments: &[Arg<'_>]) -> Result<()> {
        let (raw, uses) = prepare(kernel, arguments)?;
        // SAFETY: of `load`; the stream keeps the memory.
        let outcome = check(unsafe {
            let count = raw.len() as c_int;
            let context = self.context().raw();
            gpuio_kernel_launch(context, kernel.0.raw, groups.as_ptr(), raw.as_ptr(), count, self.raw())
        });
        match outcome.as_ref().map_err(|e| e.code()) {
            Err(Code::DeviceLost) => std::mem::forget(uses),
            Err(_) => drop(uses),
            Ok(()) => self.keep(uses),
        }
        outcome
    }
}
