//! Contexts, memory and files.
mod common;

use common::{cpu, pattern, TempFile};
use gpuio::{Access, Array, Code, Config, Context, Handle, Memory, Open, Place};

#[test]
fn a_context_outlives_its_name_and_knows_its_devices() {
    let memory = {
        let context = cpu();
        assert!(context.device_info(Context::CPU).unwrap().total_memory > 0);
        let missing = context.device_info(99).unwrap_err();
        assert_eq!(missing.code(), Code::NotFound);
        assert!(missing.message().contains("99"), "{missing}");
        Memory::<u32>::new(&context, 3, Place::Host).unwrap()
    };
    memory.write().unwrap().copy_from_slice(&[1, 2, 3]);
    assert_eq!(*memory.read().unwrap(), [1, 2, 3]);
    assert_eq!(gpuio::version().split('.').count(), 3);
}

#[test]
fn a_configuration_that_is_wrong_is_named() {
    let config = Config { config_file: Some("/nowhere/gpuio.toml".into()), ..Config::default() };
    let error = Context::with(&config).err().unwrap();
    assert_eq!(error.code(), Code::NotFound);
    assert!(error.message().contains("/nowhere/gpuio.toml"), "{error}");
    let config = Config { config_file: Some("a\0b".into()), ..Config::default() };
    assert_eq!(Context::with(&config).err().unwrap().code(), Code::InvalidArgument);
}

#[test]
fn memory_is_read_together_or_written_alone() {
    let context = cpu();
    let memory = Memory::<u64>::new(&context, 100, Place::Pinned).unwrap();
    let other = memory.clone();
    {
        let (a, b) = (memory.read().unwrap(), other.read().unwrap());
        assert_eq!((a[99], b.len()), (0, 100));
        assert_eq!(memory.write().err().unwrap().code(), Code::Busy);
        assert_eq!(memory.upload(&[1]).unwrap_err().code(), Code::Busy);
    }
    let mut writing = other.write().unwrap();
    writing[0] = 7;
    let busy = memory.read().err().unwrap();
    assert_eq!(busy.code(), Code::Busy);
    assert!(busy.message().contains("800 bytes"), "{busy}");
    drop(writing);
    assert_eq!(memory.read().unwrap()[0], 7);
}

#[test]
fn threads_share_memory() {
    let memory = Memory::<u64>::new(&cpu(), 1, Place::Unified).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..1000 {
                    loop {
                        if let Ok(mut value) = memory.write() {
                            value[0] += 1;
                            break;
                        }
                        std::thread::yield_now();
                    }
                }
            });
        }
    });
    assert_eq!(memory.read().unwrap()[0], 4000);
}

#[test]
fn memory_of_a_device_is_copied() {
    let context = cpu();
    let memory = Memory::<f32>::new(&context, 4, Place::Device).unwrap();
    assert_eq!(memory.read().err().unwrap().code(), Code::InvalidArgument);
    memory.upload(&[1.0, 2.0, 3.0, 4.0]).unwrap();
    let mut back = [0.0; 3];
    memory.download(&mut back).unwrap();
    assert_eq!(back, [1.0, 2.0, 3.0]);
    assert_eq!(memory.upload(&[0.0; 5]).unwrap_err().code(), Code::InvalidArgument);
}

#[test]
fn too_much_is_refused_and_nothing_is_something() {
    let context = cpu();
    assert_eq!(Memory::<u64>::new(&context, usize::MAX, Place::Host).err().unwrap().code(), Code::NoMemory);
    assert_eq!(Memory::<u8>::new(&context, 1 << 50, Place::Host).err().unwrap().code(), Code::NoMemory);
    let none = Memory::<u64>::new(&context, 0, Place::Pinned).unwrap();
    assert!(none.is_empty() && none.read().unwrap().is_empty() && none.write().unwrap().is_empty());
    assert_eq!(none.region(..).err().unwrap().code(), Code::InvalidArgument);
}

#[test]
fn files_are_read_and_written_at_offsets() {
    let context = cpu();
    let bytes = pattern(100_000);
    let file = TempFile::new("files", &bytes);
    let handle = Handle::open(&context, file.uri(), Open::READ | Open::WRITE).unwrap();
    assert_eq!(handle.info().unwrap().size, 100_000);
    let mut got = vec![0; 5000];
    assert_eq!(handle.read_at(77, &mut got).unwrap(), 5000);
    assert_eq!(got, bytes[77..5077]);
    assert_eq!(handle.read_at(99_990, &mut got).unwrap(), 10);
    assert_eq!(handle.read_at(0, &mut []).unwrap(), 0);
    assert_eq!(handle.write_at(99_998, b"gpuio").unwrap(), 5);
    let region = handle.region(0, 10, Access::Read).unwrap();
    assert_eq!(handle.clone().close().unwrap_err().code(), Code::Busy);
    drop(region);
    handle.close().unwrap();
    let now = std::fs::read(&file.0).unwrap();
    assert_eq!((&now[..99_998], &now[99_998..]), (&bytes[..99_998], &b"gpuio"[..]));
    let missing = Handle::open(&context, "/nowhere/at/all", Open::READ).err().unwrap();
    assert_eq!(missing.code(), Code::NotFound);
    assert!(missing.message().contains("/nowhere/at/all"), "{missing}");
    let read_only = Handle::open(&context, file.uri(), Open::READ).unwrap();
    assert_eq!(read_only.write_at(0, b"x").unwrap_err().code(), Code::Permission);
    assert!(context.stats().unwrap().bytes_read >= 5010);
}

#[test]
fn an_array_reads_elements_and_pads_the_last() {
    let context = cpu();
    let bytes = pattern(8 * 1000 + 3);
    let file = TempFile::new("array", &bytes);
    let array = Array::<u64>::open(&context, file.uri()).unwrap();
    assert_eq!((array.len(), array.bytes(), array.is_empty()), (1001, 8003, false));
    let expected = |n: usize| {
        let mut word = [0; 8];
        let piece = &bytes[8 * n..bytes.len().min(8 * n + 8)];
        word[..piece.len()].copy_from_slice(piece);
        u64::from_le_bytes(word)
    };
    assert_eq!(array.get(5).unwrap(), expected(5));
    assert_eq!(array.get(1000).unwrap(), expected(1000));
    let mut some = [u64::MAX; 10];
    array.prefetch(0, 1001).unwrap();
    array.read(991, &mut some).unwrap();
    assert_eq!(some.to_vec(), (991..1001).map(expected).collect::<Vec<_>>());
    assert!(array.stats().unwrap().hits > 0);
    for (start, count) in [(1001, 1), (u64::MAX, 1), (992, 10)] {
        let outside = array.read(start, &mut vec![0; count]).unwrap_err();
        assert_eq!(outside.code(), Code::InvalidAddress, "{outside}");
    }
    assert_eq!(Array::<u64>::open_first(&context, file.uri(), 10).unwrap().len(), 10);
    assert_eq!(Array::<u64>::open_first(&context, file.uri(), 2000).err().unwrap().code(), Code::InvalidArgument);
    assert_eq!(Array::<u8>::open_first(&context, file.uri(), 0).err().unwrap().code(), Code::InvalidArgument);
}

/// Everything is for any thread.
#[test]
fn all_types_are_send_and_sync() {
    fn any<T: Send + Sync>() {}
    any::<Context>();
    any::<Memory<u8>>();
    any::<Array<f64>>();
    any::<Handle>();
    any::<gpuio::Region>();
    any::<gpuio::Request>();
    any::<gpuio::Canceller>();
    any::<gpuio::Stream>();
    any::<gpuio::Event>();
    any::<gpuio::Kernel>();
    any::<gpuio::Arg>();
    any::<gpuio::Error>();
}
