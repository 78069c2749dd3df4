//! Topologies, node settings and scenarios as files: every field is in the document, and whatever
//! stands in a file, it is taken or refused.
//!
//! The shipped files are bent: pieces are dropped, doubled, exchanged, and others put in.
//! `MERIDIAN_FUZZ_SECONDS` makes it go on for so long; `MERIDIAN_FUZZ_SEED` chooses where it begins.

use std::{
    fs,
    time::{Duration, Instant},
};

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use sim_regions::{NodeConfig, NodePatch, Topology, sim::scenario::Scenario};

/// Rounds, where nobody asks for more.
const ROUNDS: u64 = 600;

/// The fields that a section may have, as the parser lists them when it meets another.
fn fields(section: &str) -> Vec<String> {
    let error = Topology::parse("file", &format!("{section}\nnobody-knows-it = 1\n"));
    let error = error.expect_err("such a field is refused").to_string();
    let (_, listed) = error.split_once("expected ").unwrap_or_else(|| panic!("{error}"));
    listed.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn every_field_of_a_topology_is_in_the_document() {
    let page = fs::read_to_string("../docs/TOPOLOGY.md").expect("the page is there");
    let sections = [
        ("", 7),
        ("[settings]", 9),
        ("[clock]", 3),
        ("[[clock.override]]", 3),
        ("[network]", 5),
        ("[[region]]", 3),
        ("[[link]]", 5),
        ("[node]", 8),
    ];
    for (section, count) in sections {
        let fields = fields(section);
        assert_eq!(fields.len(), count, "{section:?} has {fields:?}");
        for field in fields {
            assert!(page.contains(&format!("`{field}`")), "{section} {field} is not in the page");
        }
    }
    let sections: Vec<String> = fields("");
    for section in sections.iter().filter(|section| *section != "name") {
        let headed = [format!("## `[{section}]`"), format!("## `[[{section}]]`")];
        assert!(headed.iter().any(|head| page.contains(head)), "{section} has no heading");
    }
}

#[test]
fn the_topology_of_the_document_is_one() {
    let page = fs::read_to_string("../docs/TOPOLOGY.md").expect("the page is there");
    let (_, listing) = page.split_once("```toml\n").expect("a listing");
    let (listing, _) = listing.split_once("```").expect("it ends");
    let topology = Topology::parse("the document", listing).expect("it is well-formed");
    assert_eq!((topology.regions.len(), topology.clock_overrides.len()), (2, 1));
    for field in
        ["", "[settings]", "[clock]", "[[clock.override]]", "[network]", "[[region]]", "[[link]]"]
            .into_iter()
            .flat_map(fields)
            .filter(|field| field != "node")
    {
        let is_there = [format!("{field} ="), format!("[{field}]"), format!("{field}]]")];
        assert!(
            is_there.iter().any(|form| listing.contains(form)),
            "{field} is not in the listing"
        );
    }
}

/// What files are made of.
const PIECES: [&str; 28] = [
    "[",
    "]",
    "[[",
    "]]",
    "{",
    "}",
    "=",
    "\"",
    "\"\"\"",
    "'",
    ".",
    ",",
    "#",
    "\n",
    "-1",
    "1e999",
    "nan",
    "99999999999999999999",
    "\"99999999999h\"",
    "\"-1ms\"",
    "\"0.0000000001ns\"",
    "true",
    "1979-05-27T07:32:00Z",
    "a.b.c.d = 1\n",
    "[[region]]\nname = \"x\"\n",
    "[[fault]]\nat = \"1s\"\n",
    "nodes = 1000\n",
    "\u{feff}é",
];

fn corpus() -> Vec<String> {
    let mut corpus = vec![
        "[node]\nid = 2\nregion = \"r\"\nlisten = \"a:1\"\nsql_listen = \"b:2\"\ndata = \"d\"\njoin = [\"c:3\"]\n"
            .to_owned(),
    ];
    for folder in ["topologies", "scenarios"] {
        for entry in fs::read_dir(folder).expect("the folder is there") {
            let path = entry.expect("readable").path();
            corpus.push(fs::read_to_string(path).expect("a file"));
        }
    }
    corpus.sort();
    assert!(corpus.len() >= 7);
    corpus
}

fn bend(rng: &mut ChaCha8Rng, chars: &mut Vec<char>, corpus: &[String]) {
    let begin = rng.random_range(0..=chars.len());
    let longest = [3, 30, 300][rng.random_range(0..3)];
    let at = begin..(begin + rng.random_range(0..longest)).min(chars.len());
    let piece = PIECES[rng.random_range(0..PIECES.len())];
    match rng.random_range(0..6) {
        0 => drop(chars.drain(at)),
        1 => {
            let doubled = chars[at].to_vec();
            drop(chars.splice(begin..begin, doubled));
        }
        2 => {
            let other: Vec<char> = corpus[rng.random_range(0..corpus.len())].chars().collect();
            let begin = rng.random_range(0..other.len());
            let end = (begin + rng.random_range(0..300)).min(other.len());
            drop(chars.splice(at, other[begin..end].iter().copied()));
        }
        3 => drop(chars.splice(at, piece.chars())),
        4 => drop(chars.splice(at, piece.repeat(rng.random_range(1..2_000)).chars())),
        _ => chars[at].iter_mut().for_each(|char| *char = rng.random_range(' '..'~')),
    }
    chars.truncate(30_000);
}

/// Everything that reads such a file. True if one of them takes it.
fn read(text: &str) -> bool {
    let topology = Topology::parse("file", text).map_err(|error| error.to_string());
    let node = NodeConfig::parse("file", text, NodePatch::default()).map_err(|e| e.to_string());
    let scenario = Scenario::parse("file", text);
    if let Ok(topology) = &topology {
        let nodes = topology.node_layout(None);
        assert!(!nodes.is_empty());
        let (first, last) = (&nodes[0], &nodes[nodes.len() - 1]);
        assert!(topology.path(first, last).loss <= 1.0);
    }
    let errors = [topology.as_ref().err(), node.as_ref().err(), scenario.as_ref().err()];
    for error in errors.into_iter().flatten() {
        assert!(error.starts_with("file"), "an error names its file: {error}");
    }
    topology.is_ok() || node.is_ok() || scenario.is_ok()
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long it goes on changes nothing of what it does"
)]
fn now() -> Instant {
    Instant::now()
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}: {text:?}")))
}

#[test]
fn whatever_is_in_a_file_is_taken_or_refused() {
    let corpus = corpus();
    for text in &corpus {
        assert!(read(text), "{text}");
    }
    for heap in ["[", "{", "a = [", "a.", "[[", "a={b=", "\"", "[a.", "x = {y = ["] {
        assert!(!read(&heap.repeat(100_000)), "{heap}");
        assert!(!read(&format!("name = {}", heap.repeat(100_000))), "{heap}");
    }
    // Found at random: memory for all of them was asked for at once.
    for many in ["nodes-per-region", "clients"] {
        assert!(!read(&format!("{many} = 9999999999999\n")), "{many}");
    }
    let first = number("MERIDIAN_FUZZ_SEED").unwrap_or(1);
    let until = number("MERIDIAN_FUZZ_SECONDS").map(|secs| now() + Duration::from_secs(secs));
    let (mut taken, mut refused) = (0_u64, 0_u64);
    for seed in first.. {
        if until.map_or(seed >= first + ROUNDS, |until| now() >= until) {
            break;
        }
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut chars: Vec<char> = corpus[rng.random_range(0..corpus.len())].chars().collect();
        for _ in 0..rng.random_range(1..5) {
            bend(&mut rng, &mut chars, &corpus);
        }
        let text: String = chars.into_iter().collect();
        let read = std::panic::catch_unwind(|| read(&text));
        let read = read.unwrap_or_else(|_| panic!("seed {seed}:\n{text}"));
        *(if read { &mut taken } else { &mut refused }) += 1;
    }
    println!("{taken} taken, {refused} refused");
    assert!(taken > 20 && refused > 20, "{taken} taken, {refused} refused");
}
