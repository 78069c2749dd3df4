//! The recipe of docs/commit-wait.md finds the violation every time. It is taken from the page, line
//! by line. `MERIDIAN_LONG=1` runs it 20 times.

use std::{
    io::Write,
    path::Path,
    process::{Command, Output, Stdio},
};

use meridian_tests::{demo::Demo, process::meridian};

/// The page's lines of a shell that turn commit-wait off and check.
fn recipe() -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/commit-wait.md");
    let page = std::fs::read_to_string(page).expect("the page is there");
    let blocks = page.split("```text\n").skip(1).filter_map(|rest| rest.split("```").next());
    let recipe = blocks.into_iter().find(|block| block.contains("\\commit-wait off"));
    let recipe = recipe.expect("the page has the recipe").to_owned();
    assert!(recipe.contains("\\check run 5s"), "{recipe}");
    recipe
}

/// Pipes a script into a shell of its own.
fn script(demo: &Demo, node: u16, script: &str) -> Output {
    let url = format!("postgresql://root@127.0.0.1:{}/meridian", demo.sql_port(node));
    let mut shell = Command::new(meridian())
        .args(["sql", "--url", &url])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the shell starts");
    let mut input = shell.stdin.take().expect("it is piped");
    input.write_all(script.as_bytes()).expect("it reads");
    drop(input);
    shell.wait_with_output().expect("it ends")
}

#[tokio::test]
async fn the_recipe_finds_the_violation_every_time() {
    let arguments = ["--topology=one-region", "--clock=fixed", "--epsilon=4ms"];
    let demo = Demo::start_with("commit-wait", 3, &arguments).await;
    let times = if std::env::var_os("MERIDIAN_LONG").is_some() { 20 } else { 3 };
    for time in 1..=times {
        // It goes on behind the violation, and its exit code tells all the same.
        let whole = recipe() + "RESET CLUSTER SETTINGS;\nSELECT 'went ' || 'on';\n";
        let node = time % 3;
        let output = script(&demo, node, &whole);
        let text = String::from_utf8_lossy(&output.stdout);
        println!(
            "{time}: {}",
            text.lines().find(|line| line.contains("serializable:")).unwrap_or("-")
        );
        assert_eq!(output.status.code(), Some(1), "the {time}th time: {text}");
        assert!(text.contains(": violated") && text.contains("went on"), "{time}: {text}");
    }
    let output = script(&demo, 0, &recipe().replace("\\commit-wait off", "\\commit-wait on"));
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "with commit-wait: {text}");
    assert!(text.contains(": holds"), "with commit-wait: {text}");
}
