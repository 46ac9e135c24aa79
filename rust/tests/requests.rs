//! Single requests: what they move, how they end, and what they keep.
mod common;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::{cpu, pattern, TempFile};
use gpuio::{Access, Code, Context, Handle, Memory, Open, Place, Region, Request, Status};

const MIB: usize = 1 << 20;

#[test]
fn bytes_go_from_any_region_to_any() {
    let context = cpu();
    let bytes = pattern(3 * MIB + 777);
    let file = TempFile::new("requests", &bytes);
    let handle = Handle::open(&context, file.uri(), Open::READ).unwrap();
    let memory = Memory::<u8>::new(&context, bytes.len(), Place::Pinned).unwrap();
    let from = handle.region(0, bytes.len(), Access::Read).unwrap();
    let mut request = Request::copy(&from, &memory.region(..).unwrap()).build().unwrap();
    assert_eq!(request.status().unwrap(), Status::Pending);
    assert_eq!(request.wait(None).unwrap_err().code(), Code::InvalidArgument);
    drop((handle, from)); // the request keeps them
    for _ in 0..2 {
        memory.write().unwrap().fill(0);
        assert_eq!(request.run().unwrap(), bytes.len() as u64);
        assert_eq!(memory.read().unwrap()[..], bytes[..]);
    }
    let progress = request.progress().unwrap();
    assert_eq!((progress.bytes_completed, progress.status), (bytes.len() as u64, Status::Completed));

    let there = Memory::<u8>::new(&context, 100, Place::Host).unwrap();
    let (from, to) = (memory.region(1000..2000).unwrap(), there.region(50..).unwrap());
    let moved = Request::copy(&from, &to).offsets(7, 3).build().unwrap().run().unwrap();
    assert_eq!(moved, 47);
    assert_eq!(there.read().unwrap()[53..], bytes[1007..1054]);
    assert!(there.read().unwrap()[..53].iter().all(|&b| b == 0));
    let long = Request::copy(&from, &to).len(51).build().err().unwrap();
    assert_eq!(long.code(), Code::InvalidArgument);
}

/// 16 MiB at a mebibyte a second.
fn slow(context: &Context) -> (Memory<u8>, Region, Region) {
    let handle = Handle::open(context, "mem://rust-slow?size=16MiB", Open::READ | Open::WRITE).unwrap();
    let memory = Memory::<u8>::new(context, 16 * MIB, Place::Host).unwrap();
    let from = handle.region(0, 16 * MIB, Access::Read).unwrap();
    let to = memory.region(..).unwrap();
    (memory, from, to)
}

#[test]
fn a_request_has_its_memory_until_it_has_ended() {
    let context = cpu();
    let (memory, from, to) = slow(&context);
    let mut request = Request::copy(&from, &to).rate(MIB as u64).build().unwrap();
    request.submit().unwrap();
    assert_eq!(request.submit().unwrap_err().code(), Code::Busy);
    assert_eq!(memory.read().err().unwrap().code(), Code::Busy);
    assert_eq!(request.wait(Some(Duration::ZERO)).unwrap_err().code(), Code::Timeout);
    assert_eq!(request.wait(Some(Duration::from_millis(20))).unwrap_err().code(), Code::Timeout);
    assert!(!request.status().unwrap().is_final());
    assert_eq!(memory.read().err().unwrap().code(), Code::Busy);
    request.cancel().unwrap();
    assert_eq!(request.wait(None).unwrap_err().code(), Code::Canceled);
    assert_eq!(request.status().unwrap(), Status::Cancelled);
    assert_eq!(memory.read().unwrap().len(), 16 * MIB);
    // Dropping one in flight ends it.
    let start = Instant::now();
    request.submit().unwrap();
    drop(request);
    assert!(start.elapsed() < Duration::from_secs(8));
    assert!(memory.write().is_ok());
}

#[test]
fn a_request_times_out_or_is_cancelled_from_elsewhere() {
    let context = cpu();
    let (memory, from, to) = slow(&context);
    let mut request = Request::copy(&from, &to).rate(MIB as u64).timeout(Duration::from_millis(50)).build().unwrap();
    assert_eq!(request.run().unwrap_err().code(), Code::Timeout);
    assert_eq!(request.status().unwrap(), Status::Error);
    assert!(memory.read().is_ok());
    let mut request = Request::copy(&from, &to).rate(MIB as u64).priority(3).build().unwrap();
    request.submit().unwrap();
    let canceller = request.canceller();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| request.wait(None));
        canceller.cancel().unwrap();
        assert_eq!(waiting.join().unwrap().unwrap_err().code(), Code::Canceled);
    });
    drop(request);
    assert_eq!(canceller.cancel().unwrap_err().code(), Code::InvalidArgument);
}

/// Forgetting a request leaks it, its memory and its context, but frees nothing beneath it.
#[test]
fn a_forgotten_request_keeps_its_memory() {
    let context = cpu();
    let (memory, from, to) = slow(&context);
    let mut request = Request::copy(&from, &to).build().unwrap();
    request.submit().unwrap();
    std::mem::forget(request);
    assert_eq!(memory.read().err().unwrap().code(), Code::Busy);
}

#[test]
fn progress_is_told_and_a_panic_reaches_who_waits() {
    let context = cpu();
    let (_memory, from, to) = slow(&context);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let watch = seen.clone();
    let mut request = Request::copy(&from, &to).on_progress(move |p| watch.lock().unwrap().push(*p)).build().unwrap();
    request.run().unwrap();
    {
        let seen = seen.lock().unwrap();
        let last = seen.last().expect("it is told at the end");
        assert_eq!((last.bytes_completed, last.percent, last.status), (16 << 20, 100.0, Status::Completed));
        assert!(seen.windows(2).all(|w| w[0].bytes_completed <= w[1].bytes_completed));
    }
    drop(request);
    assert_eq!(Arc::strong_count(&seen), 1, "the closure is freed with its request");

    let mut request = Request::copy(&from, &to).on_progress(|_| panic!("seen enough")).build().unwrap();
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| request.run())).unwrap_err();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"seen enough"));
    assert_eq!(request.run().unwrap(), 16 << 20, "it is usable afterwards, without the closure");
}

/// Blocking calls answer in callbacks, and what is dropped there is leaked rather than freed beneath the library.
#[test]
fn a_callback_may_not_block() {
    let context = cpu();
    let (_memory, from, to) = slow(&context);
    let handle = Handle::open(&context, "mem://rust-inner?size=4KiB", Open::READ).unwrap();
    let codes = Arc::new(Mutex::new(Vec::new()));
    let told = codes.clone();
    let mut request = Request::copy(&from, &to)
        .on_progress(move |_| told.lock().unwrap().push(handle.read_at(0, &mut [0; 16]).map_err(|e| e.code())))
        .build()
        .unwrap();
    request.run().unwrap();
    let codes = codes.lock().unwrap();
    assert!(!codes.is_empty() && codes.iter().all(|c| *c == Err(Code::Busy)), "{codes:?}");
}
