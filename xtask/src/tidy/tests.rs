//! Every rule is shown to complain, and to be obeyed here.

use super::{File, check, edges, files, numbered, rules, scan};
use crate::workspace::Workspace;

fn file(path: &str, text: &str) -> File {
    File { path: path.to_owned(), text: text.to_owned() }
}

fn rust(text: &str) -> Vec<String> {
    let file = file("a.rs", &format!("//! Head.\n{text}"));
    rules::rust(&file).iter().map(ToString::to_string).collect()
}

/// The whole tree is `cargo xtask tidy`'s; a test of these rules answers for this crate alone.
#[test]
fn the_rules_obey_themselves() {
    let workspace = Workspace::locate().expect("in a workspace");
    let mut files = files(&workspace).expect("git lists the tree");
    files.retain(|file| file.path.starts_with("xtask/"));
    assert!(files.len() >= 10, "only {} files", files.len());
    assert_eq!(check(&workspace, &files), []);
}

#[test]
fn heads_and_sizes() {
    let without_head = rules::rust(&file("a.rs", "fn f() {}\n"));
    assert!(without_head[0].message.contains("`//!`"));
    assert_eq!(rust(&"\n".repeat(599)), Vec::<String>::new());
    assert!(rust(&"\n".repeat(600))[0].contains("601 lines"));
    let body = |lines| format!("fn f(g: fn(u8) -> u8) {{{}}}", "\n".repeat(lines));
    assert_eq!(rust(&body(69)), Vec::<String>::new());
    assert_eq!(rust(&body(70)), ["a.rs:2: a function of 71 lines, more than 70"]);
}

#[test]
fn forbidden_words_count_in_code_alone() {
    for bad in ["#[ignore]", "#[ignore = \"x\"]", "todo!()", "#[allow(dead_code)]"] {
        assert_eq!(rust(bad).len(), 1, "{bad}");
        assert_eq!(rust(&format!("// {bad}\nconst S: &str = r#\"{bad}\"#;")).len(), 0, "{bad}");
    }
}

#[test]
fn selects_are_biased() {
    assert_eq!(rust("async fn f() { tokio::select! {\n biased;\n x = y => {} } }").len(), 0);
    let complaints = rust("async fn f() {\n tokio::select! { x = y => {} } }");
    assert_eq!(complaints, ["a.rs:3: select! must begin with `biased;`"]);
}

#[test]
fn what_a_simulation_runs_takes_its_time_and_freezes_whole() {
    let complaints = |path: &str, text: &str| rules::simulated(&file(path, text)).len();
    for bad in ["tokio::time::sleep(d)", "tokio::spawn(run)", "tokio::spawn(\n async {})"] {
        assert_eq!(complaints("crates/node/src/a.rs", bad), 1, "{bad}");
        assert_eq!(complaints("crates/node/src/a/tests.rs", bad), 0, "{bad}");
        assert_eq!(complaints("sql-shell/src/a.rs", bad), 0, "{bad}");
    }
    assert_eq!(complaints("crates/net/src/a.rs", "tokio::spawn(run)"), 0, "the net is no node's");
    let good = "timer::sleep(d); tokio::spawn(clock::inherit(run)); let t = tokio::task::id();";
    assert_eq!(complaints("crates/sql/src/a.rs", good), 0);
}

#[test]
fn named_paths_exist() {
    let text = "See `docs/A.md`, `crates/b/src/`, `docs/gone.md#part`, `x/y`, `crates/*/src`.\n";
    let exists = |path: &str| path != "docs/gone.md";
    let complaints = rules::paths_exist(&file("README.md", text), exists);
    assert_eq!(complaints.len(), 1);
    assert_eq!(complaints[0].to_string(), "README.md:1: there is no `docs/gone.md`");
    let code = "//! See `docs/gone.md`.\nlet x = \"`docs/gone.md`\";\n";
    assert_eq!(rules::paths_exist(&file("a.rs", code), exists).len(), 1, "comments alone");
    let inner = file("crates/b/src/a.rs", "//! See `tests/scripts`.\n");
    let exists = |path: &str| path == "crates/b/tests/scripts";
    assert_eq!(rules::paths_exist(&inner, exists), [], "a crate's own folder");
}

#[test]
fn private_paths_are_found() {
    let text = ["/ho", "me/somebody"].concat();
    assert_eq!(rules::no_private_paths(&file("x.sh", &text)).len(), 1);
    assert_eq!(rules::no_private_paths(&file("x.sh", "/usr/bin/env")).len(), 0);
}

#[test]
fn arrows_point_down_only() {
    let manifest = |name: &str, dependencies: &str| {
        let text = format!(
            "[package]\nname = \"{name}\"\n[lints]\nworkspace = true\n[dependencies]\n{dependencies}"
        );
        let complaints = edges::check(&file("Cargo.toml", &text));
        complaints.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(manifest("range", "paxos.workspace = true\nserde = \"1\""), Vec::<String>::new());
    assert_eq!(
        manifest("paxos", "keys.workspace = true\nrange.workspace = true"),
        ["Cargo.toml:7: `paxos` must not depend on `range`"]
    );
    assert_eq!(
        manifest("clock", "tokio = \"1\""),
        ["Cargo.toml:6: `clock` is a core: it must do without `tokio`"]
    );
    assert_eq!(manifest("sql", "rocksdb = \"1\""), ["Cargo.toml:6: only `rocks` links RocksDB"]);
    assert!(manifest("stranger", "")[0].contains("has no place"));
    let without_lints = edges::check(&file("Cargo.toml", "[package]\nname = \"keys\"\n"));
    assert!(without_lints[0].message.contains("[lints]"));
}

#[test]
fn cores_do_without_the_machine() {
    let complaints = |path: &str, text: &str| rules::core(&file(path, text)).len();
    for bad in [
        "use std::fs;",
        "std::thread::spawn(f)",
        "use std::net::TcpStream;",
        "use std::{\n fmt,\n fs::{File, OpenOptions},\n};",
        "use std::{io::{self, Read}, process::Command};",
    ] {
        assert_eq!(complaints("crates/paxos/src/a.rs", bad), 1, "{bad}");
        assert_eq!(complaints("crates/paxos/src/a/tests.rs", bad), 0, "{bad}");
        assert_eq!(complaints("crates/storage/src/conformance.rs", bad), 0, "{bad}");
        assert_eq!(complaints("crates/node/src/a.rs", bad), 0, "{bad}");
    }
    let good = "use std::{fmt, sync::{Arc, Mutex}, thread_local}; // std::fs\nlet net = 1;";
    assert_eq!(complaints("crates/paxos/src/a.rs", good), 0);
}

#[test]
fn edges_that_carry_nothing_are_found() {
    let crates = |manifest: &str, source: &str| {
        let manifest = format!("[package]\nname = \"paxos\"\n[dependencies]\n{manifest}");
        let files = [
            file("crates/paxos/Cargo.toml", &manifest),
            file("crates/paxos/src/lib.rs", source),
            file("crates/paxos/tests/it.rs", "use rand_chacha::X;"),
            file("crates/other/src/lib.rs", "use keys::Y;"),
        ];
        let complaints = edges::unused(&files);
        complaints.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let all = "keys.workspace = true\nclock.workspace = true\nrules.workspace = true\n";
    let used = "use keys::Key;\nuse clock as c;\nfn f() -> rules::Rules {}\n";
    assert_eq!(crates(all, used), Vec::<String>::new());
    assert_eq!(
        crates(all, "use clock::A;\n// rules::Rules\nuse my_keys::rules::B;\nuse crate::keys;"),
        [
            "crates/paxos/Cargo.toml:4: `paxos` does not use `keys`",
            "crates/paxos/Cargo.toml:6: `paxos` does not use `rules`"
        ],
    );
    let less = "keys.workspace = true\nclock.workspace = true\n";
    assert_eq!(
        crates(less, used),
        ["crates/paxos/Cargo.toml:1: `paxos` may depend on `rules` by xtask's table, and does not"]
    );
    let dev = format!("{all}[dev-dependencies]\nrand-chacha = \"1\"\ngone = \"1\"\n");
    assert_eq!(crates(&dev, used), ["crates/paxos/Cargo.toml:9: `paxos` does not use `gone`"]);
}

/// A page with one rule that is kept, in part, and one that is not; the code and tests it names.
fn numbered_tree() -> Vec<File> {
    let page = "# Rules\n\n### P3: a floor\n\nAbove `min_next`.\n\n\
        - kept in: `crates/paxos/src/a.rs` (`report`)\n\
        - asserted in: `crates/paxos/src/a.rs` (`assign`: above `SHOW X`)\n\
        - attacked by: `crates/paxos/src/tests.rs` (`floor`, `dropped`); mode `floor-forgotten`\n\n\
        ## Not kept yet\n\n- **P3, in part** More. Instead: less.\n- **X1a** Refresh. Instead: 40001.\n";
    vec![
        file("docs/RULES.md", page),
        file(
            "crates/paxos/src/a.rs",
            "fn report() {} // P3, and X1a some day\nfn assign<T>() {}\n",
        ),
        file(
            "crates/paxos/src/tests.rs",
            "made! {\n    floor: Floor in scope,\n}\nfn dropped() {}\n",
        ),
        file("sim-regions/src/sim/mode.rs", "name: \"floor-forgotten\","),
    ]
}

#[test]
fn numbered_rules_and_their_page_agree() {
    let complaints = |from: &str, to: &str| {
        let mut files = numbered_tree();
        for file in &mut files {
            file.text = file.text.replace(from, to);
        }
        let complaints = numbered::check(&files);
        complaints.iter().map(|complaint| complaint.message.clone()).collect::<Vec<_>>()
    };
    assert_eq!(complaints("", ""), [] as [&str; 0]);
    for (from, to, expected) in [
        ("// P3,", "// P3, R12,", "docs/RULES.md has no rule R12"),
        ("// P3,", "// P33b or P3_3", "no comment of a core names P3"),
        ("- kept in: ", "- kept: ", "P3: no \"kept in\""),
        ("- asserted in: ", "- said in: ", "P3: no \"asserted in\""),
        ("- attacked by: ", "- feared by: ", "P3: no \"attacked by\""),
        ("src/a.rs` (`report", "src/b.rs` (`report", "there is no `crates/paxos/src/b.rs`"),
        ("(`report`)", "(`rep`)", "`crates/paxos/src/a.rs` has no `rep`"),
        ("`crates/paxos/src/a.rs` (`report`)", "`report`", "`report` is named without its file"),
        ("; mode `floor-", "; mode `ceiling-", "the simulator has no mode `ceiling-forgotten`"),
        ("(`floor`, `dropped`)", "(`flo`)", "`crates/paxos/src/tests.rs` has no `flo`"),
        ("## Not", "### P3: again\n\n## Not", "P3 stands here twice"),
        ("**P3, in part**", "**P3**", "P3 is kept, or is not, or is not kept \"in part\""),
        ("**X1a**", "**X1a, in part**", "X1a is kept, or is not, or is not kept \"in part\""),
        (" Instead: 40001", "", "what is there instead of X1a?"),
    ] {
        let found = complaints(from, to);
        assert!(found.iter().any(|message| message == expected), "{from} -> {to}: {found:?}");
    }
    let by = ": `crates/paxos/src/tests.rs` (`floor`, `dropped`); mode `floor-forgotten`";
    for toothless in
        [": care", ": `crates/paxos/src/a.rs` (`report`)", ": `crates/paxos/src/tests.rs`"]
    {
        assert_eq!(complaints(by, toothless), ["P3: no test, script or mode attacks it"]);
    }
    let script = ": `crates/paxos/tests/scripts/floor`";
    assert!(complaints(by, script)[0].contains("there is no"));
    let mut files = numbered_tree();
    files.push(file("crates/paxos/tests/scripts/floor", ""));
    files[0].text = files[0].text.replace(by, script);
    assert_eq!(numbered::check(&files), []);
    let elsewhere = [file("crates/sql/src/a.rs", "// X99"), file("crates/node/src/a.md", "// X99")];
    assert_eq!(numbered::check(&elsewhere), [], "other crates may speak of other things");
    assert_eq!(
        numbered::check(&numbered_tree()[1..]).len(),
        2,
        "without a page every number is one too many"
    );
}

#[test]
fn the_scanner_keeps_places() {
    let text =
        "a /* x /* y */ z */ b // c\n\"s\\\"t\" 'x' '\\'' <'a> r\"q\" r#\"a\"b\"# br\"x\" rest";
    let code = scan::code(text);
    assert_eq!(code.len(), text.len());
    let words: Vec<&str> = code.split_whitespace().collect();
    assert_eq!(words, ["a", "b", "<'a>", "rest"]);
}

#[test]
fn functions_are_measured_from_fn_to_brace() {
    let code =
        "trait T {\n fn a(x: [u8; 2]);\n fn b() {\n }\n}\nfn c()\nwhere A: B,\n{ if x { } }\n";
    let found: Vec<_> = scan::functions(code).iter().map(|f| (f.line, f.lines)).collect();
    assert_eq!(found, [(3, 2), (6, 3)]);
}
