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
