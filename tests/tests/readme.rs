//! The tour of the README, command by command, against a demo: the output must be what is printed
//! there, but for digits and the width of columns.

use std::{path::Path, process::Command, time::Duration};

use meridian_tests::process::{Folder, Process, eventually, meridian};

/// Where the README's demo listens, and where this one does.
const PRINTED_PORT: u16 = 5433;
const PORT: u16 = 26_433;

#[derive(Debug, Default)]
struct Step {
    command: String,
    printed: String,
}

/// The commands in `console` blocks, each with what follows it.
fn steps(readme: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut inside = false;
    for line in readme.lines() {
        match line {
            "```console" => inside = true,
            "```" => inside = false,
            _ if !inside => {}
            _ => match (line.strip_prefix("$ "), steps.last_mut()) {
                (Some(command), _) => {
                    steps.push(Step { command: command.to_owned(), ..Step::default() });
                }
                (None, Some(step)) => step.printed += &format!("{line}\n"),
                (None, None) => panic!("output before a command: {line}"),
            },
        }
    }
    steps
}

/// Runs of digits count as one, with their fraction and sign; runs of padding and lines as well.
fn without_figures(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        let c = match c {
            '0'..='9' => '0',
            '-' | '.' if out.ends_with('0') => continue,
            '─' | '═' | '┬' | '┴' | '╪' | ' ' | '-' => ' ',
            other => other,
        };
        let repeats = matches!(c, '0' | ' ' | '\n') && out.ends_with(c);
        if !repeats {
            out.push(c);
        }
    }
    out.replace(" 0 ", "0 ").replace("│ 0", "│0").replace("┆ 0", "┆0").trim().to_owned()
}

#[tokio::test]
async fn the_tour_reproduces_as_printed() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = std::fs::read_to_string(readme).expect("the README is there");
    let steps = steps(&readme);
    assert!(steps.len() >= 8, "the tour has shrunk to {} commands", steps.len());
    let folder = Folder::new("readme");
    let ready = folder.path().join("ready");
    let arguments = ["demo", "--no-shell", "--clock=fixed", "--epsilon=4ms", "--engine=memory"];
    let mut arguments: Vec<String> = arguments.map(str::to_owned).to_vec();
    arguments.push(format!("--sql-port={PORT}"));
    arguments.push(format!("--ready-file={}", ready.display()));
    let mut demo = Process::start(&arguments, &folder.path().join("demo.log"));
    eventually("the demo is ready", Duration::from_secs(60), async || {
        assert!(demo.is_running(), "the demo ended: {}", demo.printed());
        if ready.exists() { Ok(()) } else { Err("not yet") }
    })
    .await;
    for step in steps {
        let printed = run(&step.command);
        assert_eq!(
            without_figures(&printed),
            without_figures(&step.printed),
            "{} printed\n{printed}",
            step.command
        );
    }
}

/// Runs a command of the tour in a shell, with this build's program and this demo's ports.
fn run(command: &str) -> String {
    let program = meridian();
    let mut command = command.to_owned();
    for node in 0..9 {
        let (printed, ours) = (PRINTED_PORT + node, PORT + node);
        command = command.replace(&format!("127.0.0.1:{printed}"), &format!("127.0.0.1:{ours}"));
    }
    let command = command.replacen("meridian", &program.display().to_string(), 1);
    let output = Command::new("sh").args(["-c", &command]).output().expect("a shell");
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8(text).expect("it prints text")
}

#[test]
fn figures_may_differ_and_words_may_not() {
    assert_eq!(without_figures("│ 4.25 ┆   -3 │"), without_figures("│ 17 ┆ 0.5 │"));
    assert_ne!(without_figures("│ f │"), without_figures("│ t │"));
}
