//! Finds libgpuio: in the folder that LIBGPUIO_DIR names, else where pkg-config says.

use std::env;
use std::process::Command;

const REMEDY: &str = "install gpuio (`cmake --install build/release`) and let PKG_CONFIG_PATH name the folder of \
    gpuio.pc, or set LIBGPUIO_DIR to the folder that holds libgpuio.so";

fn main() {
    println!("cargo:rerun-if-env-changed=LIBGPUIO_DIR");
    println!("cargo:rerun-if-env-changed=PKG_CONFIG_PATH");
    println!("cargo:rerun-if-changed=build.rs");
    if let Some(folder) = env::var_os("LIBGPUIO_DIR") {
        let folder = folder.into_string().expect("LIBGPUIO_DIR is UTF-8");
        if !std::path::Path::new(&folder).join("libgpuio.so").exists() {
            panic!("LIBGPUIO_DIR={folder}: there is no libgpuio.so; {REMEDY}");
        }
        println!("cargo:rustc-link-search=native={folder}");
        println!("cargo:rustc-link-lib=dylib=gpuio");
        // What this package builds itself finds the library there without further ado.
        println!("cargo:rustc-link-arg=-Wl,-rpath,{folder}");
        return;
    }
    let asked = Command::new("pkg-config")
        .args(["--libs", "gpuio >= 1.0", "gpuio < 2"])
        .output()
        .unwrap_or_else(|e| panic!("pkg-config cannot be run ({e}); {REMEDY}"));
    if !asked.status.success() {
        panic!("{}; {REMEDY}", String::from_utf8_lossy(&asked.stderr).trim());
    }
    for flag in String::from_utf8_lossy(&asked.stdout).split_whitespace() {
        if let Some(folder) = flag.strip_prefix("-L") {
            println!("cargo:rustc-link-search=native={folder}");
        } else if let Some(library) = flag.strip_prefix("-l") {
            println!("cargo:rustc-link-lib=dylib={library}");
        }
    }
}
