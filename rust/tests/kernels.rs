//! Serialized kernels: loaded, run, launched, timed out and cancelled.
mod common;

use std::time::Duration;

use common::{cpu, kernel, pattern, TempFile};
use gpuio::{
    Arg, Array, Code, Config, Context, Event, Format, Kernel, Memory, Miss, Number, Options, Place, Source, Stream,
};

fn vecadd_inputs(context: &Context, n: usize) -> [Memory<f32>; 3] {
    let make = || Memory::<f32>::new(context, n, Place::Pinned).unwrap();
    let all = [make(), make(), make()];
    for (i, x) in all[0].write().unwrap().iter_mut().enumerate() {
        *x = i as f32;
    }
    all[1].write().unwrap().fill(0.5);
    all
}

#[test]
fn a_kernel_adds() {
    let context = cpu();
    let (add, stream) = (kernel(&context, "adead_vecadd"), Stream::new(&context).unwrap());
    let [a, b, c] = vecadd_inputs(&context, 1000);
    let report = stream.run(&add, [4, 1, 1], &[(&a).into(), (&b).into(), (&c).into()]).unwrap();
    assert_eq!((report.launches, report.misses, report.miss), (1, 0, Miss::Auto));
    assert!(c.read().unwrap().iter().enumerate().all(|(i, &x)| x == i as f32 + 0.5));
}

#[test]
fn what_is_launched_has_its_memory_until_the_stream_is_synchronized() {
    let context = cpu();
    let (add, stream) = (kernel(&context, "adead_vecadd"), Stream::new(&context).unwrap());
    let [a, b, c] = vecadd_inputs(&context, 1000);
    let d = Memory::<f32>::new(&context, 1000, Place::Pinned).unwrap();
    let (start, end) = (Event::new(&context).unwrap(), Event::new(&context).unwrap());
    assert_eq!(end.synchronize().unwrap_err().code(), Code::InvalidArgument);
    start.record(&stream).unwrap();
    stream.launch(&add, [4, 1, 1], &[(&a).into(), (&b).into(), (&c).into()]).unwrap();
    // Inputs are read together, by kernels and by the CPU; outputs are had alone.
    stream.launch(&add, [4, 1, 1], &[(&a).into(), (&b).into(), (&d).into()]).unwrap();
    assert_eq!(a.read().unwrap()[7], 7.0);
    assert_eq!(a.write().err().unwrap().code(), Code::Busy);
    assert_eq!(c.read().err().unwrap().code(), Code::Busy);
    let again = stream.launch(&add, [4, 1, 1], &[(&a).into(), (&b).into(), (&c).into()]);
    assert_eq!(again.unwrap_err().code(), Code::Busy);
    end.record(&stream).unwrap();
    end.synchronize().unwrap();
    assert!(end.elapsed_ms_since(&start).unwrap() >= 0.0);
    stream.synchronize().unwrap();
    assert!(stream.is_idle().unwrap());
    assert_eq!(*c.read().unwrap(), *d.read().unwrap());
    // A stream that ends waits, and gives back too.
    stream.launch(&add, [4, 1, 1], &[(&a).into(), (&b).into(), (&c).into()]).unwrap();
    drop((add, stream));
    assert!(c.write().is_ok() && a.write().is_ok());
}

#[test]
fn arguments_are_held_to_the_parameters() {
    let context = cpu();
    let (add, stream) = (kernel(&context, "adead_vecadd"), Stream::new(&context).unwrap());
    let [a, b, c] = vecadd_inputs(&context, 256);
    let wide = Memory::<f64>::new(&context, 256, Place::Pinned).unwrap();
    let wrong: [(&[Arg], [u32; 3], &str); 4] = [
        (&[(&a).into(), (&b).into()], [1, 1, 1], "3 parameters"),
        (&[(&a).into(), (&b).into(), (&wide).into()], [1, 1, 1], "8 bytes"),
        (&[(&a).into(), (&b).into(), 3u32.into()], [1, 1, 1], "GPUIO_ARG_SCALAR"),
        (&[(&a).into(), (&b).into(), (&c).into()], [0, 1, 1], "groups[0]"),
    ];
    for (arguments, groups, words) in wrong {
        for error in
            [stream.run(&add, groups, arguments).unwrap_err(), stream.launch(&add, groups, arguments).unwrap_err()]
        {
            assert_eq!(error.code(), Code::InvalidArgument, "{error}");
            assert!(error.message().contains(words), "{error}");
        }
        assert!(a.write().is_ok() && c.write().is_ok(), "what was refused uses nothing");
    }
    // SAFETY: these are no kernels, and are refused.
    let junk = unsafe { [Kernel::load(&context, b"GKIR"), Kernel::load(&context, &[])] };
    for error in junk {
        let error = error.err().unwrap();
        assert_eq!(error.code(), Code::InvalidArgument);
        assert!(error.message().contains("44 are needed"), "{error}");
    }
}

#[test]
fn kernels_come_in_other_formats() {
    let context = cpu();
    assert_eq!(context.find_device("cpu").unwrap(), Context::CPU);
    assert_eq!(context.find_device("toaster").unwrap_err().code(), Code::InvalidArgument);
    let stream = Stream::new(&context).unwrap();
    let folder = std::path::PathBuf::from(std::env::var("GPUIO_TEST_KERNELS").unwrap());
    let file = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let adead = Source { format: Format::Adead, block: [64, 1, 1], ..Source::default() };
    let other = |bytes: Vec<u8>, source| {
        // SAFETY: what gpuio has written, and four bytes of accumulator code, stay within their arguments.
        unsafe { Kernel::load_format(&context, &bytes, &source) }
    };
    for (bytes, source, lanes) in [
        (file("vecadd.spv"), Source::default(), 256),
        (file("vecadd.ptx"), Source { format: Format::Ptx, ..Source::default() }, 256),
        (vec![0x10, 0x41, 0x22, 0x00], adead, 64),
    ] {
        let add = other(bytes, source).unwrap();
        let info = add.info().unwrap();
        assert_eq!((info.block, info.parameters, info.portable), ([lanes, 1, 1], 3, true), "{info:?}");
        let [a, b, c] = vecadd_inputs(&context, 1000);
        stream.run(&add, [1000 / lanes + 1, 1, 1], &[(&a).into(), (&b).into(), (&c).into()]).unwrap();
        assert!(c.read().unwrap().iter().enumerate().all(|(i, &x)| x == i as f32 + 0.5));
    }
    // A number is converted, or refused where that would change it.
    let fill = kernel(&context, "scan");
    let wrong = stream.run(&fill, [1, 1, 1], &[Number::Real(0.5).into(), Number::Integer(3).into()]).unwrap_err();
    assert_eq!(wrong.code(), Code::InvalidArgument);
    let ptx = Source { format: Format::Ptx, ..Source::default() };
    assert_eq!(other(b"no text of PTX".to_vec(), ptx).err().unwrap().code(), Code::InvalidArgument);
}

fn scan_arguments<'a>(words: &'a Array<u64>, memory: &'a (Memory<u64>, Memory<u64>, Memory<u32>)) -> [Arg<'a>; 8] {
    let needle = u64::from_le_bytes(*b"gpuio\0\0\0");
    let mask = (1u64 << 40) - 1;
    let (counts, found, failed) = (Arg::from(&memory.0), Arg::from(&memory.1), Arg::from(&memory.2));
    [words.into(), counts, found, failed, words.bytes().into(), needle.into(), mask.into(), 5u32.into()]
}
fn scan_memory(context: &Context) -> (Memory<u64>, Memory<u64>, Memory<u32>) {
    let make = |n| Memory::<u64>::new(context, n, Place::Pinned).unwrap();
    (make(256), make(1), Memory::<u32>::new(context, 1, Place::Pinned).unwrap())
}

#[test]
fn a_kernel_indexes_a_file_in_both_ways() {
    let context = cpu();
    let mut bytes = pattern(200_003);
    for at in [0, 65_533, 199_998] {
        bytes[at..at + 5].copy_from_slice(b"gpuio");
    }
    let file = TempFile::new("scan", &bytes);
    let (scan, stream) = (kernel(&context, "scan"), Stream::new(&context).unwrap());
    for miss in [Miss::Wait, Miss::Yield] {
        let words = Array::<u64>::open(&context, file.uri()).unwrap();
        let memory = scan_memory(&context);
        let options = Options { miss, timeout: Some(Duration::from_secs(60)), ..Options::default() };
        let report = stream.run_with(&scan, [4, 1, 1], &scan_arguments(&words, &memory), &options).unwrap();
        assert_eq!(report.miss, miss, "{report:?}");
        let mut counts = [0; 256];
        bytes.iter().for_each(|&b| counts[b as usize] += 1);
        assert_eq!(memory.0.read().unwrap()[..], counts);
        assert_eq!((memory.1.read().unwrap()[0], memory.2.read().unwrap()[0]), (3, 0));
    }
}

/// A file without content of its own, which takes minutes to scan.
fn endless(name: &str) -> TempFile {
    let file = TempFile::new(name, b"");
    std::fs::OpenOptions::new().write(true).open(&file.0).unwrap().set_len(8 << 30).unwrap();
    file
}

#[test]
fn a_run_over_an_array_times_out_and_is_cancelled() {
    let context = cpu();
    let (scan, stream) = (kernel(&context, "scan"), Stream::new(&context).unwrap());
    let file = endless("endless");
    let words = Array::<u64>::open(&context, file.uri()).unwrap();
    let memory = scan_memory(&context);
    let arguments = scan_arguments(&words, &memory);
    let options = Options { timeout: Some(Duration::from_millis(100)), ..Options::default() };
    let late = stream.run_with(&scan, [4, 1, 1], &arguments, &options).unwrap_err();
    assert_eq!(late.code(), Code::Timeout, "{late}");
    assert!(memory.0.write().is_ok(), "a kernel with arrays has ended");
    std::thread::scope(|scope| {
        let running = scope.spawn(|| stream.run(&scan, [4, 1, 1], &arguments));
        while !running.is_finished() {
            scan.cancel().unwrap();
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(running.join().unwrap().unwrap_err().code(), Code::Canceled);
    });
}

#[test]
fn a_stream_that_is_waited_for_too_long_keeps_its_memory() {
    let hasty = TempFile::new("hasty.toml", b"[wait]\nlimit_ms = 1\n");
    let context = Context::with(&Config { config_file: Some(hasty.uri().into()), ..Config::default() }).unwrap();
    context.set_device(Context::CPU).unwrap();
    let (matmul, stream) = (kernel(&context, "adead_matmul"), Stream::new(&context).unwrap());
    let make = || Memory::<f32>::new(&context, 64 * 64, Place::Pinned).unwrap();
    let (a, b) = (make(), make());
    a.write().unwrap().fill(1.0);
    b.write().unwrap().fill(2.0);
    let results: Vec<_> = (0..20).map(|_| make()).collect();
    for c in &results {
        stream.launch(&matmul, [60000, 1, 1], &[(&a).into(), (&b).into(), c.into()]).unwrap();
    }
    let late = stream.synchronize().unwrap_err();
    assert_eq!(late.code(), Code::Timeout, "{late}");
    assert_eq!(results[19].read().err().unwrap().code(), Code::Busy);
    while let Err(late) = stream.synchronize() {
        assert_eq!(late.code(), Code::Timeout, "{late}");
    }
    assert!(results.iter().all(|c| c.read().unwrap().iter().all(|&x| x == 128.0)));
}

#[test]
fn a_plain_run_that_times_out_goes_on_with_its_memory() {
    let context = cpu();
    let (matmul, stream) = (kernel(&context, "adead_matmul"), Stream::new(&context).unwrap());
    let make = || Memory::<f32>::new(&context, 64 * 64, Place::Pinned).unwrap();
    let (a, b, c) = (make(), make(), make());
    a.write().unwrap().fill(1.0);
    b.write().unwrap().fill(2.0);
    // A grid of which nearly all lanes have nothing to do, again and again, so that it takes long enough.
    let options = Options { timeout: Some(Duration::from_micros(1)), ..Options::default() };
    let mut late = None;
    for _ in 0..100 {
        match stream.run_with(&matmul, [2000, 1, 1], &[(&a).into(), (&b).into(), (&c).into()], &options) {
            Ok(_) => continue,
            Err(error) => late = Some(error),
        }
        break;
    }
    let late = late.expect("a microsecond is not enough");
    assert_eq!(late.code(), Code::Timeout, "{late}");
    assert_eq!(c.read().err().unwrap().code(), Code::Busy);
    assert!(a.read().is_ok());
    stream.synchronize().unwrap();
    assert!(c.read().unwrap().iter().all(|&x| x == 128.0));
}
