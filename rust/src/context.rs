use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::Arc;

use crate::error::{c_string, check, text, Result};
use crate::sys::*;

/// The version of the library that is loaded, as "1.0.0".
pub fn version() -> &'static str {
    // SAFETY: lives for ever.
    unsafe { CStr::from_ptr(gpuio_get_version_string()) }.to_str().unwrap_or("unknown")
}

/// A level shows itself and all before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum LogLevel {
    None = GPUIO_LOG_NONE as isize,
    Fatal = GPUIO_LOG_FATAL as isize,
    Error = GPUIO_LOG_ERROR as isize,
    Warn = GPUIO_LOG_WARN as isize,
    Info = GPUIO_LOG_INFO as isize,
    Debug = GPUIO_LOG_DEBUG as isize,
    Trace = GPUIO_LOG_TRACE as isize,
}

/// For the whole process; wins over what any configuration says.
pub fn set_log_level(level: LogLevel) {
    // SAFETY: takes any level.
    unsafe { gpuio_set_log_level(level as gpuio_log_level_t) }
}

/// What a context may be told; the rest comes from the file and from the environment (GPUIO_LOG_LEVEL and the like).
#[derive(Clone, Debug)]
pub struct Config {
    /// Also use GPUs that a driver emulates on the CPU, for tests.
    pub software_gpus: bool,
    /// At most this many; `None`: all.
    pub max_gpus: Option<u32>,
    /// Bytes of pinned memory to hold for transfers; 0: chosen by the machine.
    pub memory_pool_size: usize,
    /// Until [`set_log_level`] is called.
    pub log_level: LogLevel,
    /// TOML; `None`: the one that GPUIO_CONFIG_FILE names, if any.
    pub config_file: Option<String>,
    /// Serve and fetch over a network only with credentials.
    pub enable_security: bool,
    /// `None`: none, so with security on nothing goes over a network.
    pub credentials_path: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            software_gpus: false,
            max_gpus: None,
            memory_pool_size: 0,
            log_level: LogLevel::Info,
            config_file: None,
            enable_security: true,
            credentials_path: None,
        }
    }
}

/// Devices, threads and caches, and everything made from them. Clones name the same context.
#[derive(Clone)]
pub struct Context(Arc<Owner>);

struct Owner(gpuio_context_t);

// SAFETY: a number that any thread may use, as all of the C interface.
unsafe impl Send for Owner {}
unsafe impl Sync for Owner {}

impl Drop for Owner {
    fn drop(&mut self) {
        // SAFETY: the last user of the context. Refused in a callback of its own, and where something does not end:
        // then it stays, for what still runs.
        unsafe { gpuio_finalize(self.0) };
    }
}

/// Who made a GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Vendor {
    Nvidia,
    Amd,
    Intel,
    Cpu,
    Other,
}

/// A device as it was found.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DeviceInfo {
    /// For [`Context::set_device`].
    pub id: i32,
    /// Who made it.
    pub vendor: Vendor,
    /// As its driver names it.
    pub name: String,
    /// Bytes.
    pub total_memory: usize,
    /// Bytes.
    pub free_memory: usize,
    /// Major and minor; (0, 0) where the vendor has no such number.
    pub compute_capability: (i32, i32),
    /// `None`: unknown.
    pub numa_node: Option<u32>,
}

/// Of requests, since the context was made.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
#[allow(missing_docs)]
pub struct Stats {
    pub requests_submitted: u64,
    pub requests_completed: u64,
    pub requests_failed: u64,
    pub requests_cancelled: u64,
    pub bytes_read: u64,
    pub bytes_written: u64,
    pub cache_hits: u64,
    pub cache_misses: u64,
}

impl Context {
    /// The CPU, always there.
    pub const CPU: i32 = -1;

    /// Configured by file and environment only. A machine without a GPU is no error.
    pub fn new() -> Result<Context> {
        Context::with(&Config::default())
    }

    /// Blocks while the file is read.
    pub fn with(config: &Config) -> Result<Context> {
        let path = |p: &Option<String>, what| p.as_deref().map(|p| c_string(p, what)).transpose();
        let file = path(&config.config_file, "configuration file")?;
        let credentials = path(&config.credentials_path, "credentials")?;
        let pointer = |p: &Option<std::ffi::CString>| p.as_ref().map_or(ptr::null(), |p| p.as_ptr());
        let raw = gpuio_config_t {
            api_version: GPUIO_VERSION_MAJOR,
            flags: if config.software_gpus { GPUIO_CONFIG_SOFTWARE_GPUS } else { 0 },
            max_gpus: config.max_gpus.map_or(-1, |n| i32::try_from(n).unwrap_or(i32::MAX)),
            memory_pool_size: config.memory_pool_size,
            log_level: config.log_level as gpuio_log_level_t,
            config_file: pointer(&file),
            numa_node: -1,
            numa_strict: false,
            enable_security: config.enable_security,
            credentials_path: pointer(&credentials),
        };
        let mut ctx = ptr::null_mut();
        // SAFETY: the strings are copied before it returns.
        check(unsafe { gpuio_init(&mut ctx, &raw) })?;
        Ok(Context(Arc::new(Owner(ctx))))
    }

    pub(crate) fn raw(&self) -> gpuio_context_t {
        self.0 .0
    }

    /// GPUs, with ids from 0; the CPU is [`Context::CPU`] and not counted. Blocks while drivers are looked for.
    pub fn device_count(&self) -> Result<u32> {
        let mut count = 0;
        // SAFETY: plain outputs.
        check(unsafe { gpuio_get_device_count(self.raw(), &mut count) })?;
        Ok(count as u32)
    }

    /// `NotFound` for an id that is no device.
    pub fn device_info(&self, id: i32) -> Result<DeviceInfo> {
        let mut raw = MaybeUninit::<gpuio_device_info_t>::zeroed();
        // SAFETY: zeros are a valid value, and the call fills it.
        let raw = unsafe {
            check(gpuio_get_device_info(self.raw(), id, raw.as_mut_ptr()))?;
            raw.assume_init()
        };
        Ok(DeviceInfo {
            id: raw.device_id,
            vendor: match raw.vendor {
                GPUIO_GPU_VENDOR_NVIDIA => Vendor::Nvidia,
                GPUIO_GPU_VENDOR_AMD => Vendor::Amd,
                GPUIO_GPU_VENDOR_INTEL => Vendor::Intel,
                GPUIO_GPU_VENDOR_CPU => Vendor::Cpu,
                _ => Vendor::Other,
            },
            name: text(&raw.name),
            total_memory: raw.total_memory,
            free_memory: raw.free_memory,
            compute_capability: (raw.compute_capability_major, raw.compute_capability_minor),
            numa_node: u32::try_from(raw.numa_node).ok(),
        })
    }

    /// The id of "cpu", "vulkan", "cuda" or "auto"; with a number after a colon the next ones of a kind ("vulkan:1").
    /// Finds what a driver emulates too.
    pub fn find_device(&self, name: &str) -> Result<i32> {
        let name = c_string(name, "device")?;
        let mut id = 0;
        // SAFETY: a text and a plain output.
        check(unsafe { gpuio_find_device(self.raw(), name.as_ptr(), &mut id) })?;
        Ok(id)
    }

    /// The device of what is made from now on, in any thread. At first 0, or the CPU where there is no GPU.
    pub fn set_device(&self, id: i32) -> Result<()> {
        // SAFETY: takes any number.
        check(unsafe { gpuio_set_device(self.raw(), id) })
    }

    /// What its requests have come to.
    pub fn stats(&self) -> Result<Stats> {
        let mut raw = MaybeUninit::<gpuio_stats_t>::zeroed();
        // SAFETY: zeros are a valid value, and the call fills it.
        let raw = unsafe {
            check(gpuio_get_stats(self.raw(), raw.as_mut_ptr()))?;
            raw.assume_init()
        };
        Ok(Stats {
            requests_submitted: raw.requests_submitted,
            requests_completed: raw.requests_completed,
            requests_failed: raw.requests_failed,
            requests_cancelled: raw.requests_cancelled,
            bytes_read: raw.bytes_read,
            bytes_written: raw.bytes_written,
            cache_hits: raw.cache_hits,
            cache_misses: raw.cache_misses,
        })
    }
}
