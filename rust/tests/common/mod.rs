//! What the tests share. GPUIO_TEST_KERNELS names a folder with what `gpuio kernel export` has written.
#![allow(dead_code)] // each test takes a part of it

use std::path::PathBuf;

use gpuio::{Context, Kernel};

/// A context whose current device is the CPU.
pub fn cpu() -> Context {
    let context = Context::new().unwrap();
    context.set_device(Context::CPU).unwrap();
    context
}

pub fn kernel(context: &Context, name: &str) -> Kernel {
    let folder = std::env::var("GPUIO_TEST_KERNELS").expect("GPUIO_TEST_KERNELS: rust/test sets it");
    let ir = std::fs::read(PathBuf::from(folder).join(name)).unwrap();
    // SAFETY: what the tool writes stays within its arguments.
    unsafe { Kernel::load(context, &ir) }.unwrap()
}

/// A file with these bytes, removed with the value.
pub struct TempFile(pub PathBuf);

impl TempFile {
    pub fn new(name: &str, bytes: &[u8]) -> TempFile {
        let path = std::env::temp_dir().join(format!("gpuio-rust-{}-{name}", std::process::id()));
        std::fs::write(&path, bytes).unwrap();
        TempFile(path)
    }
    pub fn uri(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Bytes that differ from place to place.
pub fn pattern(n: usize) -> Vec<u8> {
    (0..n).map(|i| (i * 31 + i / 4096) as u8).collect()
}
