//! What the shell can do beyond the protocol, run in the shell's process: `\\workload` makes load,
//! `\\check` records a history and judges it. Both are clients like any other.

mod placing;
mod plan;
mod record;

use std::time::Duration;

use checker::{Validity, Verdict};
use clap::ValueEnum as _;
use clock::{format_duration, parse_duration};
use futures::future::BoxFuture;
use sql_shell::{Finding, Said};
use tokio::{task::JoinHandle, time::sleep};

use crate::workload::{self, Stop};
use record::Recording;

/// How long a workload runs that nobody stops.
const LONGEST_RUN: Duration = Duration::from_secs(24 * 3600);

/// Tools at work. Dropped, they stop.
#[derive(Default)]
pub struct Workbench {
    workload: Option<Load>,
    recording: Option<Recording>,
    /// The last recording that was judged.
    judged: Option<Judged>,
}

/// A recording, and what came of it.
struct Judged {
    lasted: Duration,
    operations: usize,
    verdict: Verdict,
}

/// What a tool says that looks for nothing.
fn said(text: String) -> Said {
    Said { text, found: Finding::Nothing }
}

/// A workload that runs.
struct Load {
    stop: Stop,
    task: JoinHandle<anyhow::Result<String>>,
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.now();
        self.task.abort();
    }
}

impl Workbench {
    async fn run(
        &mut self,
        tool: &str,
        arguments: &[String],
        urls: Vec<String>,
    ) -> Result<Said, String> {
        let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
        match (tool, words.as_slice()) {
            ("workload", ["stop"]) => self.stop_workload().await.map(said),
            ("workload", [kind]) => self.start_workload(kind, "16", urls).await.map(said),
            ("workload", [kind, clients]) => {
                self.start_workload(kind, clients, urls).await.map(said)
            }
            ("check", ["start"]) => self.start_check(urls).await.map(said),
            ("check", ["report"]) => self.report(None).await,
            ("check", ["report", file]) => self.report(Some(file)).await,
            ("check", ["run", lasting]) => self.run_check(lasting, None, urls).await,
            ("check", ["run", lasting, file]) => self.run_check(lasting, Some(file), urls).await,
            ("workload", _) => Err("write \\workload bank 16, or \\workload stop".to_owned()),
            ("check", _) => {
                Err("write \\check start, \\check report [FILE.html], or \\check run 5s \
                                 [FILE.html]"
                    .to_owned())
            }
            _ => Err(format!("there is no tool {tool}")),
        }
    }

    /// Answers once the tables are there and the clients begin.
    async fn start_workload(
        &mut self,
        kind: &str,
        clients: &str,
        urls: Vec<String>,
    ) -> Result<String, String> {
        if let Some(load) = &self.workload
            && !load.task.is_finished()
        {
            return Err("a workload runs already; \\workload stop ends it".to_owned());
        }
        let kind = workload::Kind::from_str(kind, true).map_err(|_| {
            let known = workload::Kind::value_variants().iter().map(|kind| kind.name());
            format!("there is no workload {kind}: {}", known.collect::<Vec<_>>().join(", "))
        })?;
        let clients = clients.parse().ok().filter(|clients| (1..=4096).contains(clients));
        let clients = clients.ok_or_else(|| "between 1 and 4096 clients".to_owned())?;
        let url = some(urls)?;
        let stop = Stop::default();
        let options = workload::Options {
            kind,
            url,
            clients,
            duration: LONGEST_RUN,
            warmup: Duration::ZERO,
            rows: 1000,
            read_percent: 0,
            value_bytes: 64,
            ranges: 1,
            seed: 1,
            format: workload::Format::Text,
            stop: stop.clone(),
        };
        workload::init(&options).await.map_err(|error| format!("{error:#}"))?;
        let task = tokio::spawn(workload::run_until_stopped(options));
        self.workload = Some(Load { stop, task });
        Ok(format!("{clients} clients at work over all gateways; \\workload stop ends them\n"))
    }

    async fn stop_workload(&mut self) -> Result<String, String> {
        let mut load = self.workload.take().ok_or_else(|| "no workload runs".to_owned())?;
        load.stop.now();
        let ended = (&mut load.task).await.map_err(|error| error.to_string())?;
        ended.map_err(|error| format!("{error:#}"))
    }

    async fn start_check(&mut self, urls: Vec<String>) -> Result<String, String> {
        if self.recording.is_some() {
            return Err("a history is being recorded; \\check report ends and judges it".to_owned());
        }
        let recording =
            Recording::start(some(urls)?).await.map_err(|error| format!("{error:#}"))?;
        let clients = recording.clients();
        self.recording = Some(recording);
        Ok(format!("{clients} clients record a history; \\check report judges it\n"))
    }

    /// Records for a while and judges. Interrupted, it leaves the recording at work.
    async fn run_check(
        &mut self,
        lasting: &str,
        file: Option<&str>,
        urls: Vec<String>,
    ) -> Result<Said, String> {
        let lasting = parse_duration(lasting).map_err(|error| error.to_string())?;
        self.start_check(urls).await?;
        sleep(lasting).await;
        self.report(file).await
    }

    /// The verdict on what is being recorded, else on what was recorded last.
    async fn report(&mut self, file: Option<&str>) -> Result<Said, String> {
        if let Some(recording) = self.recording.take() {
            self.judged = Some(judge(recording).await?);
        }
        let judged = self.judged.as_ref();
        let judged = judged.ok_or_else(|| "nothing is recorded; \\check start".to_owned())?;
        if let Some(path) = file {
            std::fs::write(path, judged.verdict.render_html())
                .map_err(|error| format!("write {path}: {error}"))?;
        }
        let found = match judged.verdict.valid {
            Validity::Yes => Finding::Nothing,
            Validity::No => Finding::Violation,
            Validity::Undecided => Finding::Undecided,
        };
        Ok(Said { text: judged.text(), found })
    }
}

/// Ends a recording and holds it against what the database promises.
async fn judge(recording: Recording) -> Result<Judged, String> {
    let (lasted, history) = recording.end().await;
    let operations = history.ops.len();
    let options = checker::Options { timestamps: true, ..checker::Options::default() };
    // It takes a core for a while, and the terminal is not to wait for it in a runtime's thread.
    let verdict = tokio::task::spawn_blocking(move || {
        checker::check(&history, checker::Model::StrictSerializable, options)
    });
    let verdict = verdict.await.map_err(|error| error.to_string())?;
    Ok(Judged { lasted, operations, verdict })
}

impl Judged {
    fn text(&self) -> String {
        let millis = u64::try_from(self.lasted.as_millis()).unwrap_or(u64::MAX);
        let lasted = format_duration(Duration::from_millis(millis));
        format!("{} transactions in {lasted}\n{}", self.operations, self.verdict.render_text())
    }
}

fn some(urls: Vec<String>) -> Result<Vec<String>, String> {
    if urls.is_empty() { Err("no node says where clients reach it".to_owned()) } else { Ok(urls) }
}

impl sql_shell::Tools for Workbench {
    fn run<'a>(
        &'a mut self,
        tool: &'a str,
        arguments: &'a [String],
        urls: Vec<String>,
    ) -> BoxFuture<'a, Result<Said, String>> {
        Box::pin(Workbench::run(self, tool, arguments, urls))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nothing listens there: that is known before anybody could be at work.
    const NOWHERE: &str = "postgresql://root@127.0.0.1:1/meridian";

    async fn workload(arguments: &[&str]) -> String {
        let arguments: Vec<String> = arguments.iter().map(|word| (*word).to_owned()).collect();
        let mut workbench = Workbench::default();
        let refused = workbench.run("workload", &arguments, vec![NOWHERE.to_owned()]).await;
        assert!(workbench.workload.is_none(), "nothing is at work");
        refused.expect_err("refused")
    }

    #[tokio::test]
    async fn a_workload_whose_tables_cannot_be_made_says_so_when_it_is_begun() {
        let error = workload(&["bank", "4"]).await;
        assert!(error.contains("127.0.0.1:1"), "{error}");
    }

    #[tokio::test]
    async fn the_workloads_are_named() {
        assert_eq!(workload(&["foo", "3"]).await, "there is no workload foo: kv, bank");
        assert_eq!(workload(&["kv", "0"]).await, "between 1 and 4096 clients");
    }
}
