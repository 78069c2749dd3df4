//! The demo's data folder.

use super::*;

fn layout(topology: &str, nodes_per_region: Option<usize>) -> Vec<NodeSpec> {
    Topology::load(topology).expect("it is built in").node_layout(nodes_per_region)
}

#[test]
fn data_of_another_layout_is_refused() {
    let name = format!("meridian-layout-{}", std::process::id());
    let folder = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&folder).expect("a folder");
    let check = |layout: &[NodeSpec]| check_layout(&folder, layout).map_err(|e| e.to_string());
    let three = layout("three-regions", Some(1));
    assert_eq!(check(&three), Ok(()), "fresh: it is noted");
    assert_eq!(check(&three), Ok(()), "the same again");
    for other in [layout("three-regions", Some(2)), layout("one-region", None)] {
        let refused = check(&other).expect_err("another layout");
        assert!(refused.contains("belongs to 3 nodes (us-east: 1, "), "{refused}");
        assert!(refused.contains(&format!("not to {} nodes", other.len())), "{refused}");
        assert!(!refused.contains('\n'), "one line: {refused}");
    }
    assert_eq!(check(&three), Ok(()), "it is as it was");
    std::fs::remove_dir_all(&folder).expect("removed");
}

/// A folder for temporary files of one test alone.
fn temporary(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("meridian-test-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).expect("a folder");
    path
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    let mut names: Vec<String> = names.map(|name| name.into_string().expect("a name")).collect();
    names.sort();
    names
}

#[test]
fn a_demo_in_memory_needs_no_folder() {
    let temporary = temporary("memory");
    let folder = Folder::open(None, engine::Kind::Memory, &temporary).expect("opened");
    assert_eq!(folder.path(), None);
    assert_eq!(names(&temporary), [] as [&str; 0]);
    assert_ne!(folder.cluster_id().expect("drawn"), folder.cluster_id().expect("drawn"));
    std::fs::remove_dir_all(&temporary).expect("removed");
}

#[test]
fn what_killed_demos_left_behind_goes_at_the_next_start() {
    let temporary = temporary("left-behind");
    let make = |name: &str, files: &[&str]| {
        let path = temporary.join(name);
        std::fs::create_dir_all(path.join("node-1")).expect("a folder");
        for file in files {
            std::fs::write(path.join(file), "x").expect("a file");
        }
        path
    };
    make("meridian-demo-1", &["LOCK", "cluster-id", "node-1/data"]);
    make("other-2", &["LOCK"]);
    std::fs::create_dir(temporary.join("meridian-demo-3")).expect("died before it could lock it");
    std::fs::write(temporary.join("meridian-demo-file"), "x").expect("a file");
    let in_use = FolderLock::take(&make("meridian-demo-4", &["cluster-id"])).expect("locked");
    Folder::open(None, engine::Kind::Memory, &temporary).expect("opened");
    assert_eq!(names(&temporary), ["meridian-demo-4", "meridian-demo-file", "other-2"]);
    drop(in_use);
    Folder::open(None, engine::Kind::Memory, &temporary).expect("opened");
    assert_eq!(names(&temporary), ["meridian-demo-file", "other-2"]);
    std::fs::remove_dir_all(&temporary).expect("removed");
}

#[test]
fn a_temporary_folder_is_locked_while_it_lives_and_goes_with_its_demo() {
    let temporary = temporary("goes");
    let (path, lock) = folder::make_temporary(&temporary).expect("made");
    let (another, second) = folder::make_temporary(&temporary).expect("made");
    assert_ne!(path, another, "one for each");
    // Another demo that starts meanwhile.
    Folder::open(None, engine::Kind::Memory, &temporary).expect("opened");
    assert_eq!(names(&temporary).len(), 2);
    drop(Folder::Temporary(path, lock));
    drop(Folder::Temporary(another, second));
    assert_eq!(names(&temporary), [] as [&str; 0]);
    std::fs::remove_dir_all(&temporary).expect("removed");
}

/// A demo's flags.
fn options(flags: &[&str]) -> Options {
    use clap::Parser;
    #[derive(clap::Parser)]
    struct Flags {
        #[command(flatten)]
        options: Options,
    }
    Flags::parse_from([&["demo"][..], flags].concat()).options
}

#[test]
fn the_banner_fits_a_plain_terminal() {
    let text = |name: &str, per_region: Option<usize>| {
        let topology = Topology::load(name).expect("it is built in");
        let layout = topology.node_layout(per_region);
        let options = options(&["--sql-port", "54330"]);
        banner::text(&topology, &layout, &options, CommitWait::UnsafeOff)
    };
    for name in ["one-region", "three-regions", "five-regions", "spanner-paper"] {
        for per_region in [None, Some(1), Some(9)] {
            let text = text(name, per_region);
            let wide = text.lines().find(|line| line.chars().count() > 80);
            assert_eq!(wide, None, "{name} with {per_region:?}");
        }
    }
    let folded = text("one-region", Some(9));
    assert!(folded.contains("n5: 54334\n                 n6: 54335"), "{folded}");
}
