//! What the command line asks for, and which source of packages is taken.

use super::{Plan, Step, mirror_in, plan};

fn planned(line: &str) -> Option<Plan> {
    let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    plan(&args).ok()
}

#[test]
fn steps_and_packages_are_chosen() {
    let all = Plan { steps: vec![Step::Demo, Step::Data, Step::Test], packages: Vec::new() };
    assert_eq!(planned(""), Some(all));
    let one = Plan { steps: vec![Step::Data], packages: vec!["libclang-cpp14".to_owned()] };
    assert_eq!(planned("data --with libclang-cpp14"), Some(one));
    assert_eq!(planned("--with"), None);
    assert_eq!(planned("dmeo"), None);
}

#[test]
fn the_source_is_that_of_the_release_itself() {
    let targets = "bookworm-updates Debian http://a/debian/\nbookworm Other http://b/\n\
                   bookworm Debian http://c/debian/\nbookworm Debian http://d/debian/\n";
    assert_eq!(mirror_in(targets, "bookworm").as_deref(), Some("http://c/debian/"));
    assert_eq!(mirror_in(targets, "trixie"), None);
}
