//! Compiles `meridian/v1/*.proto` to Rust, in Rust: no `protoc` is needed on the machine.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=meridian");
    let files = protox::compile(["meridian/v1/transport.proto"], ["."])?;
    tonic_prost_build::configure().bytes(".").compile_fds(files)?;
    Ok(())
}
