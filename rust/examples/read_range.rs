//! Reads a range of a file by a request, showing how far it is: read_range FILE OFFSET BYTES >out
use std::io::Write;
use std::time::Duration;

use gpuio::{Access, Context, Handle, Memory, Open, Place, Request};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let (file, offset, bytes) = match arguments.as_slice() {
        [_, file, offset, bytes] => (file, offset.parse::<u64>()?, bytes.parse::<usize>()?),
        _ => return Err("read_range FILE OFFSET BYTES".into()),
    };
    let context = Context::new()?;
    let file = Handle::open(&context, file, Open::READ)?;
    let memory = Memory::<u8>::new(&context, bytes, Place::Pinned)?;
    let mut request = Request::copy(&file.region(offset, bytes, Access::Read)?, &memory.region(..)?)
        .timeout(Duration::from_secs(60))
        .on_progress(|p| eprint!("\r{:5.1}%", p.percent))
        .build()?;
    let moved = request.run()? as usize; // fewer than asked for at the end of the file
    eprintln!("\r{moved} bytes by {}", file.info()?.route);
    std::io::stdout().write_all(&memory.read()?[..moved])?;
    Ok(())
}
