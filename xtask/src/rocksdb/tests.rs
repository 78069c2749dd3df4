//! What cargo says is understood, and what it built is kept whole.

use std::{fs, path::Path, process::Command};

use super::{keep, library_in, locked_version};
use crate::workspace::Workspace;

#[test]
fn the_build_script_says_where_the_library_is() {
    let messages = r#"{"reason":"compiler-artifact","package_id":"librocksdb-sys 0.17"}
not json
{"reason":"build-script-executed","package_id":"registry+x#zstd-sys@2","out_dir":"/a"}
{"reason":"build-script-executed","package_id":"registry+x#librocksdb-sys@0.17","out_dir":"/b"}
{"reason":"build-finished","success":true}"#;
    let library = library_in(messages).expect("it is there");
    assert_eq!(library, Path::new("/b/librocksdb.a"));
    assert!(library_in("").is_err());
}

#[test]
fn the_lock_file_names_a_version() {
    let root = Workspace::locate().expect("in a workspace").root;
    let version = locked_version(&root, "librocksdb-sys").expect("rocks depends on it");
    assert!(version.contains('.'), "{version}");
    assert!(locked_version(&root, "no-such-package").is_err());
}

#[test]
fn the_kept_archive_holds_the_library_and_the_standard_library() {
    let folder = std::env::temp_dir().join(format!("xtask-{}+1.2", std::process::id()));
    let work = folder.join("built");
    fs::create_dir_all(&work).expect("a temporary folder");
    fs::write(work.join("db_impl.o"), "an object").expect("room");
    let mut ar = Command::new("ar");
    ar.args(["rc", "librocksdb.a", "db_impl.o"]).current_dir(&work);
    assert!(ar.status().expect("ar is there").success());

    keep(&work.join("librocksdb.a"), &folder).expect("a C++ compiler is there");
    let listed = Command::new("ar").arg("t").arg(folder.join("librocksdb.a")).output();
    let members = String::from_utf8(listed.expect("ar is there").stdout).expect("names");
    fs::remove_dir_all(&folder).expect("it is ours");
    assert!(members.lines().any(|member| member == "db_impl.o"));
    assert!(members.lines().count() > 50, "the standard library is missing: {members}");
}
