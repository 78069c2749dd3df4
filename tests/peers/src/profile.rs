//! Where our own time goes while a piece of work runs: perf's samples, by crate and by function.

use std::{collections::BTreeMap, process::Command, time::Duration};

use anyhow::{Context, Result};

use crate::{servers::output_of, systems::System, work::Work};

/// How long samples are taken.
const TIME: Duration = Duration::from_secs(6);
/// Samples a second.
const RATE: &str = "499";
/// Rows told.
const CRATES: usize = 14;
const FUNCTIONS: usize = 20;

/// A profile of all processes of a system, as Markdown.
pub async fn of(work: &Work, system: &System) -> Result<String> {
    let data = std::env::temp_dir().join(format!("meridian-peers-{}.perf", std::process::id()));
    let ids: Vec<String> = system.ids().iter().map(u32::to_string).collect();
    let mut record = Command::new("perf");
    record.args(["record", "-q", "-F", RATE, "-p", &ids.join(","), "-o"]).arg(&data);
    record.args(["--", "sleep", &TIME.as_secs().to_string()]);
    let (outcome, recorded) = tokio::join!(work.run(system, TIME), output_of(record));
    recorded.context("perf (Debian: linux-perf)")?;
    let mut report = Command::new("perf");
    report.args(["report", "--stdio", "-q", "-g", "none", "--sort", "symbol", "-i"]).arg(&data);
    let told = output_of(report).await?;
    // A file for temporary data; the system cleans up what cannot be removed.
    drop(std::fs::remove_file(&data));
    let samples: Vec<Sample> = told.lines().filter_map(Sample::parse).collect();
    let mut crates: BTreeMap<&str, f64> = BTreeMap::new();
    for sample in &samples {
        *crates.entry(sample.crate_name()).or_default() += sample.share;
    }
    let mut crates: Vec<_> = crates.into_iter().collect();
    crates.sort_by(|a, b| b.1.total_cmp(&a.1));
    let mut text = format!(
        "\nWhere the time of our three processes goes during *{}* ({:.0}/s while it is sampled), by \
         crate:\n\n| crate | share |\n|---|---|\n",
        work.name, outcome?.per_second
    );
    for (name, share) in crates.iter().take(CRATES) {
        text.push_str(&format!("| {name} | {share:.1}% |\n"));
    }
    text.push_str("\nand by function:\n\n| function | share |\n|---|---|\n");
    for sample in samples.iter().take(FUNCTIONS) {
        text.push_str(&format!("| `{}` | {:.1}% |\n", sample.short(), sample.share));
    }
    Ok(text)
}

/// A line of perf's report.
#[derive(Debug, PartialEq)]
struct Sample<'a> {
    /// Percent of all samples.
    share: f64,
    in_kernel: bool,
    function: &'a str,
}

impl<'a> Sample<'a> {
    /// `12.34%  [k] function`.
    fn parse(line: &'a str) -> Option<Sample<'a>> {
        let (share, rest) = line.trim().split_once('%')?;
        let (place, function) = rest.trim_start().split_once(']')?;
        // Behind the name, columns of its own that perf leaves empty.
        let function = function.trim().split("  ").next()?;
        Some(Sample { share: share.parse().ok()?, in_kernel: place == "[k", function })
    }

    /// The crate, or what stands for one.
    fn crate_name(&self) -> &'a str {
        if self.in_kernel {
            return "the kernel";
        }
        let path = self.function.trim_start_matches(['<', '&', '*', ' ']);
        let path = path.strip_prefix("mut ").unwrap_or(path);
        match path.split_once("::") {
            Some((name, _)) if name.chars().all(|c| c.is_alphanumeric() || c == '_') => name,
            _ => "C and its library",
        }
    }

    /// Short enough for a table.
    fn short(&self) -> String {
        let cut: String = self.function.chars().take(90).collect();
        if cut.len() < self.function.len() { format!("{cut}...") } else { cut }.replace('|', "/")
    }
}

#[cfg(test)]
mod tests {
    use super::Sample;

    #[test]
    fn a_line_of_the_report_names_its_crate() {
        let of = |line| Sample::parse(line).map(|sample| sample.crate_name().to_owned());
        assert_eq!(of("  3.25%  [.] range::machine::Machine::step").as_deref(), Some("range"));
        assert_eq!(
            of("  3.25%  [.] <paxos::log::Log as core::fmt::Debug>::fmt").as_deref(),
            Some("paxos")
        );
        assert_eq!(of("  1.00%  [k] copy_user_generic").as_deref(), Some("the kernel"));
        assert_eq!(
            of("  1.00%  [.] __memmove_avx_unaligned").as_deref(),
            Some("C and its library")
        );
        assert_eq!(of("# a comment"), None);
        let padded = Sample::parse(" 2.00%  [.] mi_free          -      -").map(|s| s.short());
        assert_eq!(padded.as_deref(), Some("mi_free"));
    }
}
