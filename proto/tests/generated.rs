//! `src/v1.generated` is what `meridian/v1/*.proto` say, compiled in Rust: no `protoc` is needed.
//!
//! The generated code is kept, not made by every build: what makes it, with all that it is made of,
//! takes longer to compile than most of the system. `UPDATE_GOLDENFILES=1` makes it anew.

use std::{error::Error, fs, path::Path};

const HEAD: &str = "\
// Generated from `proto/meridian/v1/*.proto` by `proto/tests/generated.rs`, where it is documented.

";

#[test]
fn the_generated_code_is_what_the_proto_files_say() -> Result<(), Box<dyn Error>> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = protox::compile(["meridian/v1/transport.proto"], [here])?;
    let made = Path::new(env!("CARGO_TARGET_TMPDIR"));
    tonic_prost_build::configure().out_dir(made).bytes(".").compile_fds(files)?;
    let made = HEAD.to_owned() + &fs::read_to_string(made.join("meridian.v1.rs"))?;
    let kept = here.join("src/v1.generated");
    if std::env::var_os("UPDATE_GOLDENFILES").is_some() {
        fs::write(&kept, &made)?;
    }
    assert!(fs::read_to_string(&kept)? == made, "src/v1.generated is old: UPDATE_GOLDENFILES=1");
    Ok(())
}
