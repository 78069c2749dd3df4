//! What a demo says of itself before its prompt: who is there, at which ports, and what becomes of
//! the data. No line of it is wider than a plain terminal, whatever the topology, but for the name
//! of a folder.

use clock::Uncertainty;
use range::CommitWait;
use sim_regions::{NodeSpec, Topology};

use super::{Options, engine, sql_port, url};

/// Columns of a plain terminal.
const WIDTH: usize = 80;

/// Columns of the names of regions, unless one is longer.
const REGION: usize = 14;

/// The whole of it.
pub(super) fn text(
    topology: &Topology,
    layout: &[NodeSpec],
    options: &Options,
    commit_wait: CommitWait,
) -> String {
    let mut text = head(&topology.name, layout.len(), &topology.clock.uncertainty);
    let names = topology.regions.iter().map(|region| region.name.chars().count());
    let name_width = names.max().unwrap_or(0).max(REGION);
    for region in &topology.regions {
        let nodes = layout.iter().filter(|spec| spec.region == region.name);
        let ports =
            nodes.map(|spec| format!("n{}: {}", spec.id.0, sql_port(options.sql_port, spec.id)));
        text += &listed(&region.name, name_width, ports);
    }
    text += &match (&options.data, options.engine()) {
        (Some(folder), _) => format!("\nData is kept in {}.\n", folder.display()),
        (None, engine::Kind::Memory) => {
            "\nData is kept in memory and gone at the end; --data DIR keeps it.\n".to_owned()
        }
        #[cfg(feature = "rocksdb")]
        (None, engine::Kind::Rocksdb) => {
            "\nData lies in a temporary folder and is gone at the end; --data DIR keeps it.\n"
                .to_owned()
        }
    };
    text += &format!(
        "\nConnect in a region by its port:\n  psql {}\n  meridian sql --url {0}\n",
        url(options.sql_port)
    );
    if commit_wait == CommitWait::UnsafeOff {
        text += "\nUNSAFE: commit-wait is off; external consistency does not hold.\n";
    }
    text + "\n"
}

/// In one line if it fits: the clock of a topology may take many words.
fn head(topology: &str, nodes: usize, clock: &Uncertainty) -> String {
    let first = format!("Meridian demo: {nodes} nodes, topology {topology},");
    let clock = format!("clock {clock}");
    let fits = first.chars().count() + 1 + clock.chars().count() <= WIDTH;
    format!("{first}{}{clock}\n\n", if fits { " " } else { "\n  " })
}

/// A name, and what belongs to it beside it; further lines go on under the first.
fn listed(name: &str, name_width: usize, entries: impl Iterator<Item = String>) -> String {
    let mut text = format!("  {name:<name_width$}");
    let indent = 2 + name_width;
    let mut column = indent;
    for entry in entries {
        // One blank behind the name, two between entries.
        let gap = if column == indent { 1 } else { 2 };
        if column > indent && column + gap + entry.len() > WIDTH {
            text += &format!("\n{:indent$} {entry}", "");
            column = indent + 1 + entry.len();
        } else {
            text += &format!("{:gap$}{entry}", "");
            column += gap + entry.len();
        }
    }
    text + "\n"
}
