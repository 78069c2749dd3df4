//! Runs golden scripts. `UPDATE_GOLDENFILES=1` rewrites them; the difference is reviewed as code.

use goldenscript::Runner;

/// Runs every script of a directory, in the order of their names, each with a runner of its own.
pub(crate) fn run_all<R: Runner>(directory: &str, runner: impl Fn() -> R) {
    let entries = std::fs::read_dir(directory).expect("the directory is there");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("readable").path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "no scripts in {directory}");
    for path in paths {
        if let Err(error) = goldenscript::run(&mut runner(), &path) {
            panic!("{}: {error}", path.display());
        }
    }
}
