//! Counts the bytes of a file that may be larger than memory: histogram KERNEL FILE [cpu]
//!
//! KERNEL is what `gpuio kernel export scan KERNEL` has written. Without `cpu` the first GPU runs it, if there is one.
use gpuio::{Arg, Array, Context, Kernel, Memory, Place, Stream};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let (ir, file) = match arguments.as_slice() {
        [_, ir, file, ..] => (std::fs::read(ir).map_err(|e| format!("{ir}: {e}"))?, file),
        _ => return Err("histogram KERNEL FILE [cpu]".into()),
    };
    let context = Context::new()?;
    if arguments.get(3).map_or(false, |word| word == "cpu") {
        context.set_device(Context::CPU)?;
    }
    // SAFETY: the scan kernel stays within its arguments.
    let scan = unsafe { Kernel::load(&context, &ir)? };
    let words = Array::<u64>::open(&context, file)?;
    let counts = Memory::<u64>::new(&context, 256, Place::Pinned)?;
    let found = Memory::<u64>::new(&context, 1, Place::Pinned)?;
    let failed = Memory::<u32>::new(&context, 1, Place::Pinned)?;

    let no_needle = [Arg::from(0u64), Arg::from(0u64), Arg::from(0u32)];
    let memory = [Arg::from(&words), Arg::from(&counts), Arg::from(&found), Arg::from(&failed)];
    let arguments = [&memory[..], &[words.bytes().into()], &no_needle[..]].concat();
    let report = Stream::new(&context)?.run(&scan, [64, 1, 1], &arguments)?;

    for (value, count) in counts.read()?.iter().enumerate().filter(|(_, &count)| count > 0) {
        println!("{value:02x} {count}");
    }
    eprintln!("{:?}: {} pages, {:.3} s", report.miss, report.pages, report.time.as_secs_f64());
    Ok(())
}
