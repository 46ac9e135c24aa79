//! The C interface as it is declared in gpuio.h and gpuio_kernel.h, as far as this crate calls it. `abi.py` holds each
//! declaration here to the headers with a C compiler, so keep to the form that it reads: one item a line.
#![allow(non_camel_case_types, missing_docs)]

use std::os::raw::{c_char, c_float, c_int, c_void};

macro_rules! opaque {
    ($($name:ident $handle:ident)*) => {$(
        #[repr(C)]
        pub struct $name {
            _private: [u8; 0],
        }
        pub type $handle = *mut $name;
    )*};
}
opaque! {
    gpuio_context gpuio_context_t
    gpuio_stream gpuio_stream_t
    gpuio_event gpuio_event_t
    gpuio_request gpuio_request_t
    gpuio_handle gpuio_handle_t
    gpuio_proxy gpuio_proxy_t
    gpuio_kernel gpuio_kernel_t
}

pub type gpuio_error_t = c_int;
pub const GPUIO_SUCCESS: gpuio_error_t = 0;
pub const GPUIO_ERROR_GENERAL: gpuio_error_t = -1;
pub const GPUIO_ERROR_NOMEM: gpuio_error_t = -2;
pub const GPUIO_ERROR_INVALID_ARG: gpuio_error_t = -3;
pub const GPUIO_ERROR_NOT_FOUND: gpuio_error_t = -4;
pub const GPUIO_ERROR_TIMEOUT: gpuio_error_t = -5;
pub const GPUIO_ERROR_IO: gpuio_error_t = -6;
pub const GPUIO_ERROR_NETWORK: gpuio_error_t = -7;
pub const GPUIO_ERROR_UNSUPPORTED: gpuio_error_t = -8;
pub const GPUIO_ERROR_PERMISSION: gpuio_error_t = -9;
pub const GPUIO_ERROR_BUSY: gpuio_error_t = -10;
pub const GPUIO_ERROR_CANCELED: gpuio_error_t = -11;
pub const GPUIO_ERROR_DEVICE_LOST: gpuio_error_t = -12;
pub const GPUIO_ERROR_ALREADY_INITIALIZED: gpuio_error_t = -13;
pub const GPUIO_ERROR_NOT_INITIALIZED: gpuio_error_t = -14;
pub const GPUIO_ERROR_INVALID_ADDRESS: gpuio_error_t = -15;
pub const GPUIO_ERROR_INVALID_BACKING: gpuio_error_t = -16;

pub type gpuio_log_level_t = c_int;
pub const GPUIO_LOG_NONE: gpuio_log_level_t = 0;
pub const GPUIO_LOG_FATAL: gpuio_log_level_t = 1;
pub const GPUIO_LOG_ERROR: gpuio_log_level_t = 2;
pub const GPUIO_LOG_WARN: gpuio_log_level_t = 3;
pub const GPUIO_LOG_INFO: gpuio_log_level_t = 4;
pub const GPUIO_LOG_DEBUG: gpuio_log_level_t = 5;
pub const GPUIO_LOG_TRACE: gpuio_log_level_t = 6;

pub const GPUIO_VERSION_MAJOR: u32 = 1;
pub const GPUIO_CONFIG_SOFTWARE_GPUS: u32 = 1;

pub type gpuio_gpu_vendor_t = c_int;
pub const GPUIO_GPU_VENDOR_NVIDIA: gpuio_gpu_vendor_t = 0;
pub const GPUIO_GPU_VENDOR_AMD: gpuio_gpu_vendor_t = 1;
pub const GPUIO_GPU_VENDOR_INTEL: gpuio_gpu_vendor_t = 2;
pub const GPUIO_GPU_VENDOR_CPU: gpuio_gpu_vendor_t = 3;

pub type gpuio_stream_priority_t = c_int;
pub const GPUIO_STREAM_DEFAULT: gpuio_stream_priority_t = 0;

pub type gpuio_mem_type_t = c_int;
pub type gpuio_mem_access_t = c_int;
pub const GPUIO_MEM_READ: gpuio_mem_access_t = 1;
pub const GPUIO_MEM_WRITE: gpuio_mem_access_t = 2;
pub const GPUIO_MEM_READ_WRITE: gpuio_mem_access_t = 3;

pub type gpuio_io_engine_t = c_int;
pub const GPUIO_ENGINE_MEMIO: gpuio_io_engine_t = 0;

pub const GPUIO_OPEN_READ: u32 = 1;
pub const GPUIO_OPEN_WRITE: u32 = 2;
pub const GPUIO_OPEN_CREATE: u32 = 4;
pub const GPUIO_OPEN_TRUNCATE: u32 = 8;
pub const GPUIO_OPEN_DIRECT: u32 = 16;

pub type gpuio_request_type_t = c_int;
pub const GPUIO_REQ_COPY: gpuio_request_type_t = 2;

pub type gpuio_request_status_t = c_int;
pub const GPUIO_STATUS_PENDING: gpuio_request_status_t = 0;
pub const GPUIO_STATUS_SUBMITTED: gpuio_request_status_t = 1;
pub const GPUIO_STATUS_IN_PROGRESS: gpuio_request_status_t = 2;
pub const GPUIO_STATUS_COMPLETED: gpuio_request_status_t = 3;
pub const GPUIO_STATUS_ERROR: gpuio_request_status_t = 4;
pub const GPUIO_STATUS_CANCELLED: gpuio_request_status_t = 5;

pub type gpuio_argument_kind_t = c_int;
pub const GPUIO_ARG_MEMORY: gpuio_argument_kind_t = 0;
pub const GPUIO_ARG_SCALAR: gpuio_argument_kind_t = 1;
pub const GPUIO_ARG_PROXY: gpuio_argument_kind_t = 2;
pub const GPUIO_ARG_INTEGER: gpuio_argument_kind_t = 3;
pub const GPUIO_ARG_REAL: gpuio_argument_kind_t = 4;

pub type gpuio_kernel_format_t = c_int;
pub const GPUIO_FORMAT_AUTO: gpuio_kernel_format_t = 0;
pub const GPUIO_FORMAT_IR: gpuio_kernel_format_t = 1;
pub const GPUIO_FORMAT_SPIRV: gpuio_kernel_format_t = 2;
pub const GPUIO_FORMAT_PTX: gpuio_kernel_format_t = 3;
pub const GPUIO_FORMAT_ADEAD: gpuio_kernel_format_t = 4;

pub type gpuio_miss_t = c_int;
pub const GPUIO_MISS_AUTO: gpuio_miss_t = 0;
pub const GPUIO_MISS_WAIT: gpuio_miss_t = 1;
pub const GPUIO_MISS_YIELD: gpuio_miss_t = 2;

pub type gpuio_callback_t = Option<unsafe extern "C" fn(gpuio_request_t, gpuio_error_t, *mut c_void)>;
pub type gpuio_progress_callback_t = Option<unsafe extern "C" fn(*const gpuio_progress_t, *mut c_void)>;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct gpuio_config_t {
    pub api_version: u32,
    pub flags: u32,
    pub max_gpus: c_int,
    pub memory_pool_size: usize,
    pub log_level: gpuio_log_level_t,
    pub config_file: *const c_char,
    pub numa_node: c_int,
    pub numa_strict: bool,
    pub enable_security: bool,
    pub credentials_path: *const c_char,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct gpuio_device_info_t {
    pub device_id: c_int,
    pub vendor: gpuio_gpu_vendor_t,
    pub name: [c_char; 256],
    pub total_memory: usize,
    pub free_memory: usize,
    pub compute_capability_major: c_int,
    pub compute_capability_minor: c_int,
    pub supports_gds: bool,
    pub supports_gdr: bool,
    pub supports_cxl: bool,
    pub supports_p2p: bool,
    pub numa_node: c_int,
    pub numa_distance: c_int,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct gpuio_memory_region_t {
    pub base_addr: *mut c_void,
    pub gpu_addr: *mut c_void,
    pub bus_addr: u64,
    pub length: usize,
    pub type_: gpuio_mem_type_t,
    pub access: gpuio_mem_access_t,
    pub gpu_id: c_int,
    pub registered: bool,
    pub handle: *mut c_void,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct gpuio_handle_info_t {
    pub engine: gpuio_io_engine_t,
    pub size: u64,
    pub block_size: u32,
    pub alignment: u32,
    pub capabilities: u64,
    pub route: [c_char; 128],
    pub reason: [c_char; 256],
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct gpuio_request_params_t {
    pub type_: gpuio_request_type_t,
    pub engine: gpuio_io_engine_t,
    pub src: *mut gpuio_memory_region_t,
    pub src_offset: u64,
    pub dst: *mut gpuio_memory_region_t,
    pub dst_offset: u64,
    pub length: usize,
    pub stream: gpuio_stream_t,
    pub async_: bool,
    pub callback: gpuio_callback_t,
    pub user_data: *mut c_void,
    pub timeout_us: u64,
    pub priority: c_int,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct gpuio_request_result_t {
    pub bytes: u64,
    pub error: gpuio_error_t,
    pub old_value: u64,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct gpuio_progress_t {
    pub bytes_total: u64,
    pub bytes_completed: u64,
    pub bytes_transferred: u64,
    pub progress_percent: c_float,
    pub eta_ms: u64,
    pub status: gpuio_request_status_t,
    pub error: gpuio_error_t,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct gpuio_proxy_stats_t {
    pub size: u64,
    pub page_size: u64,
    pub pages_resident: u64,
    pub pages_dirty: u64,
    pub hits: u64,
    pub misses: u64,
    pub evictions: u64,
    pub prefetches: u64,
    pub write_backs: u64,
    pub hit_rate: f64,
    pub miss_latency_p50_us: f64,
    pub miss_latency_p99_us: f64,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct gpuio_stats_t {
    pub requests_submitted: u64,
    pub requests_completed: u64,
    pub requests_failed: u64,
    pub requests_cancelled: u64,
    pub bandwidth_gbps: f64,
    pub bytes_read: u64,
    pub bytes_written: u64,
    pub latency_avg_us: f64,
    pub latency_p50_us: f64,
    pub latency_p99_us: f64,
    pub cache_hits: u64,
    pub cache_misses: u64,
    pub cache_hit_rate: f64,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct gpuio_argument_t {
    pub kind: gpuio_argument_kind_t,
    pub element_size: u32,
    pub memory: *mut c_void,
    pub count: u64,
    pub bits: u64,
    pub proxy: gpuio_proxy_t,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct gpuio_launch_options_t {
    pub miss: gpuio_miss_t,
    pub timeout_us: u64,
    pub allow_failures: bool,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct gpuio_launch_report_t {
    pub miss: gpuio_miss_t,
    pub launches: u32,
    pub misses: u64,
    pub failures: u64,
    pub pages: u64,
    pub seconds: f64,
    pub miss_latency_p50_us: f64,
    pub miss_latency_p99_us: f64,
    pub reason: [c_char; 256],
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct gpuio_constant_t {
    pub id: u32,
    pub kind: gpuio_argument_kind_t,
    pub bits: u64,
    pub name: *const c_char,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct gpuio_kernel_options_t {
    pub format: gpuio_kernel_format_t,
    pub entry: *const c_char,
    pub constants: *const gpuio_constant_t,
    pub num_constants: c_int,
    pub block: [u32; 3],
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct gpuio_kernel_info_t {
    pub name: [c_char; 128],
    pub format: gpuio_kernel_format_t,
    pub block: [u32; 3],
    pub num_parameters: c_int,
    pub portable: bool,
}

#[rustfmt::skip]
extern "C" {
    pub fn gpuio_get_version_string() -> *const c_char;
    pub fn gpuio_error_string(error: gpuio_error_t) -> *const c_char;
    pub fn gpuio_last_error_message() -> *const c_char;
    pub fn gpuio_set_log_level(level: gpuio_log_level_t);
    pub fn gpuio_error_is_retryable(error: gpuio_error_t) -> bool;

    pub fn gpuio_init(ctx: *mut gpuio_context_t, config: *const gpuio_config_t) -> gpuio_error_t;
    pub fn gpuio_finalize(ctx: gpuio_context_t) -> gpuio_error_t;
    pub fn gpuio_get_device_count(ctx: gpuio_context_t, count: *mut c_int) -> gpuio_error_t;
    pub fn gpuio_get_device_info(ctx: gpuio_context_t, device_id: c_int, info: *mut gpuio_device_info_t) -> gpuio_error_t;
    pub fn gpuio_find_device(ctx: gpuio_context_t, name: *const c_char, device_id: *mut c_int) -> gpuio_error_t;
    pub fn gpuio_set_device(ctx: gpuio_context_t, device_id: c_int) -> gpuio_error_t;
    pub fn gpuio_get_stats(ctx: gpuio_context_t, stats: *mut gpuio_stats_t) -> gpuio_error_t;

    pub fn gpuio_stream_create(ctx: gpuio_context_t, stream: *mut gpuio_stream_t, priority: gpuio_stream_priority_t) -> gpuio_error_t;
    pub fn gpuio_stream_destroy(ctx: gpuio_context_t, stream: gpuio_stream_t) -> gpuio_error_t;
    pub fn gpuio_stream_synchronize(ctx: gpuio_context_t, stream: gpuio_stream_t) -> gpuio_error_t;
    pub fn gpuio_stream_query(ctx: gpuio_context_t, stream: gpuio_stream_t, idle: *mut bool) -> gpuio_error_t;
    pub fn gpuio_event_create(ctx: gpuio_context_t, event: *mut gpuio_event_t) -> gpuio_error_t;
    pub fn gpuio_event_destroy(ctx: gpuio_context_t, event: gpuio_event_t) -> gpuio_error_t;
    pub fn gpuio_event_record(ctx: gpuio_context_t, event: gpuio_event_t, stream: gpuio_stream_t) -> gpuio_error_t;
    pub fn gpuio_event_synchronize(ctx: gpuio_context_t, event: gpuio_event_t) -> gpuio_error_t;
    pub fn gpuio_event_elapsed_time(ctx: gpuio_context_t, start: gpuio_event_t, end: gpuio_event_t, ms: *mut c_float) -> gpuio_error_t;

    pub fn gpuio_malloc(ctx: gpuio_context_t, size: usize, memory: *mut *mut c_void) -> gpuio_error_t;
    pub fn gpuio_malloc_pinned(ctx: gpuio_context_t, size: usize, memory: *mut *mut c_void) -> gpuio_error_t;
    pub fn gpuio_malloc_device(ctx: gpuio_context_t, size: usize, memory: *mut *mut c_void) -> gpuio_error_t;
    pub fn gpuio_malloc_unified(ctx: gpuio_context_t, size: usize, memory: *mut *mut c_void) -> gpuio_error_t;
    pub fn gpuio_free(ctx: gpuio_context_t, memory: *mut c_void) -> gpuio_error_t;
    pub fn gpuio_memcpy(ctx: gpuio_context_t, dst: *mut c_void, src: *const c_void, size: usize, stream: gpuio_stream_t) -> gpuio_error_t;
    pub fn gpuio_register_memory(ctx: gpuio_context_t, memory: *mut c_void, size: usize, access: gpuio_mem_access_t, region: *mut gpuio_memory_region_t) -> gpuio_error_t;
    pub fn gpuio_unregister_memory(ctx: gpuio_context_t, region: *mut gpuio_memory_region_t) -> gpuio_error_t;

    pub fn gpuio_open(ctx: gpuio_context_t, uri: *const c_char, flags: u32, handle: *mut gpuio_handle_t) -> gpuio_error_t;
    pub fn gpuio_close(ctx: gpuio_context_t, handle: gpuio_handle_t) -> gpuio_error_t;
    pub fn gpuio_handle_info(ctx: gpuio_context_t, handle: gpuio_handle_t, info: *mut gpuio_handle_info_t) -> gpuio_error_t;
    pub fn gpuio_handle_region(ctx: gpuio_context_t, handle: gpuio_handle_t, offset: u64, length: usize, access: gpuio_mem_access_t, region: *mut gpuio_memory_region_t) -> gpuio_error_t;

    pub fn gpuio_request_create(ctx: gpuio_context_t, params: *const gpuio_request_params_t, request: *mut gpuio_request_t) -> gpuio_error_t;
    pub fn gpuio_request_destroy(ctx: gpuio_context_t, request: gpuio_request_t) -> gpuio_error_t;
    pub fn gpuio_request_submit(ctx: gpuio_context_t, request: gpuio_request_t) -> gpuio_error_t;
    pub fn gpuio_request_wait(ctx: gpuio_context_t, request: gpuio_request_t, timeout_us: u64) -> gpuio_error_t;
    pub fn gpuio_request_cancel(ctx: gpuio_context_t, request: gpuio_request_t) -> gpuio_error_t;
    pub fn gpuio_request_get_status(ctx: gpuio_context_t, request: gpuio_request_t, status: *mut gpuio_request_status_t) -> gpuio_error_t;
    pub fn gpuio_request_get_result(ctx: gpuio_context_t, request: gpuio_request_t, result: *mut gpuio_request_result_t) -> gpuio_error_t;
    pub fn gpuio_request_modify(ctx: gpuio_context_t, request: gpuio_request_t, priority: c_int, rate_bytes_per_s: u64) -> gpuio_error_t;
    pub fn gpuio_request_set_progress_callback(ctx: gpuio_context_t, request: gpuio_request_t, callback: gpuio_progress_callback_t, user_data: *mut c_void) -> gpuio_error_t;
    pub fn gpuio_request_get_progress(ctx: gpuio_context_t, request: gpuio_request_t, progress: *mut gpuio_progress_t) -> gpuio_error_t;

    pub fn gpuio_proxy_create(ctx: gpuio_context_t, uri: *const c_char, size: usize, proxy: *mut gpuio_proxy_t) -> gpuio_error_t;
    pub fn gpuio_proxy_destroy(ctx: gpuio_context_t, proxy: gpuio_proxy_t) -> gpuio_error_t;
    pub fn gpuio_proxy_prefetch(ctx: gpuio_context_t, proxy: gpuio_proxy_t, offset: u64, size: usize, stream: gpuio_stream_t) -> gpuio_error_t;
    pub fn gpuio_proxy_read(ctx: gpuio_context_t, proxy: gpuio_proxy_t, offset: u64, memory: *mut c_void, size: usize) -> gpuio_error_t;
    pub fn gpuio_proxy_get_stats(ctx: gpuio_context_t, proxy: gpuio_proxy_t, stats: *mut gpuio_proxy_stats_t) -> gpuio_error_t;

    pub fn gpuio_kernel_load(ctx: gpuio_context_t, ir: *const c_void, size: usize, kernel: *mut gpuio_kernel_t) -> gpuio_error_t;
    pub fn gpuio_kernel_load_format(ctx: gpuio_context_t, bytes: *const c_void, size: usize, options: *const gpuio_kernel_options_t, kernel: *mut gpuio_kernel_t) -> gpuio_error_t;
    pub fn gpuio_kernel_get_info(ctx: gpuio_context_t, kernel: gpuio_kernel_t, info: *mut gpuio_kernel_info_t) -> gpuio_error_t;
    pub fn gpuio_kernel_destroy(ctx: gpuio_context_t, kernel: gpuio_kernel_t) -> gpuio_error_t;
    pub fn gpuio_kernel_launch(ctx: gpuio_context_t, kernel: gpuio_kernel_t, groups: *const u32, arguments: *const gpuio_argument_t, num_arguments: c_int, stream: gpuio_stream_t) -> gpuio_error_t;
    pub fn gpuio_kernel_run(ctx: gpuio_context_t, kernel: gpuio_kernel_t, groups: *const u32, arguments: *const gpuio_argument_t, num_arguments: c_int, stream: gpuio_stream_t, options: *const gpuio_launch_options_t, report: *mut gpuio_launch_report_t) -> gpuio_error_t;
    pub fn gpuio_kernel_cancel(ctx: gpuio_context_t, kernel: gpuio_kernel_t) -> gpuio_error_t;
}
