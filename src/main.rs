//! Arguments in, exit code out; everything else is the library's.

use std::io::{BufWriter, stdout};
use std::process::ExitCode;

/// Records are made by one thread and freed by another, a dozen allocations an event.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Not locked: the demo's view writes beside it.
    let mut out = BufWriter::new(stdout());
    ExitCode::from(habitue::edge::cli::run(std::env::args_os(), &mut out).code())
}
