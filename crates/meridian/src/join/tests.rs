//! What a restart may change, and what the data folder contradicts.

use super::*;

const HERE: &str = "a:1";

fn info(node: u32, address: &str) -> NodeInfo {
    NodeInfo {
        cluster: ClusterId(7),
        node: NodeId(node),
        region: "eu".into(),
        zone: "eu-1".into(),
        address: address.into(),
        ..NodeInfo::default()
    }
}

fn stored() -> Identity {
    let members: Vec<Member> =
        [(1, HERE), (2, "b:1"), (3, "c:1")].map(|(id, at)| member(&info(id, at))).to_vec();
    let system = node::found_system_range(&members, 3);
    Identity { cluster: 7, node: NodeId(1), system, members }
}

fn list(addresses: &[&str]) -> Vec<String> {
    addresses.iter().map(|address| (*address).to_owned()).collect()
}

fn restart(local: &NodeInfo, join: &[&str]) -> Result<(), String> {
    check_restart(&stored(), local, &list(join)).map_err(|error| error.to_string())
}

#[test]
fn the_same_settings_and_other_addresses_are_fine() {
    let here = info(1, HERE);
    for join in [&[HERE, "b:1", "c:1"][..], &[HERE, "b:2", "moved:1"], &[HERE]] {
        assert_eq!(restart(&here, join), Ok(()), "{join:?}");
    }
    assert_eq!(restart(&info(1, "moved:9"), &["b:1", "c:1", "moved:9"]), Ok(()));
}

#[test]
fn another_place_is_refused_with_both() {
    let elsewhere = NodeInfo { region: "us".into(), ..info(1, HERE) };
    let error = restart(&elsewhere, &[HERE]).expect_err("it does not move");
    assert!(error.starts_with("--region us: by its data folder n1 is in region eu"), "{error}");
    let next_door = NodeInfo { zone: "eu-2".into(), ..info(1, HERE) };
    let error = restart(&next_door, &[HERE]).expect_err("it does not move");
    assert!(error.contains("--zone eu-2") && error.contains("--zone eu-1"), "{error}");
}

#[test]
fn a_list_of_another_number_of_nodes_is_refused_with_both() {
    for join in [&[HERE, "b:1"][..], &[HERE, "b:1", "c:1", "d:1"]] {
        let error = restart(&info(1, HERE), join).expect_err("no such cluster");
        for part in
            [&join.join(", "), "knows 3: n1 at a:1, n2 at b:1, n3 at c:1", "leave --join out"]
        {
            assert!(error.contains(part), "no \"{part}\" in: {error}");
        }
    }
}

#[test]
fn whoever_answers_and_is_no_member_is_named() {
    let (local, members) = (info(1, HERE), stored().members);
    assert_eq!(stranger(&local, &members, &info(2, "moved:1")), None);
    let other = NodeInfo { cluster: ClusterId(8), ..info(2, "b:1") };
    for (answered, part) in [
        (other, "belongs to cluster"),
        (info(1, "x:1"), "n1 answers there"),
        (info(4, "d:1"), "n4 there is no member of the cluster, which has n1 at a:1, n2 at b:1"),
    ] {
        let why = stranger(&local, &members, &answered).expect("no member");
        assert!(why.contains(part), "no \"{part}\" in: {why}");
    }
}
