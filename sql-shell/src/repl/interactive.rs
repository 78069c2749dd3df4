//! Somebody types. What goes wrong is told, and the shell goes on: also when the node at the other
//! end dies, which is what a demo is for.

use std::time::Duration;

use anyhow::Context;
use reedline::{EditCommand, Signal};

use super::{Next, Shell, failed};
use crate::{
    client::{Answer, Client, elsewhere},
    console,
    edit::{ShellPrompt, editor},
    lines,
};

/// How long a node may take to answer when a connection is made in place of one that broke.
const PATIENCE: Duration = Duration::from_secs(3);

impl Shell {
    /// Reads from the terminal until its end.
    pub async fn interactive(&mut self) -> anyhow::Result<()> {
        self.words.refresh(self.client.url());
        let mut editor = editor(self.words.clone());
        console::print("Statements end with a semicolon; \\? helps, \\q leaves.\n")?;
        let mut gateways = self.gateways().await;
        loop {
            if self.client.is_closed() {
                self.reconnect(&gateways).await;
            }
            let prompt = ShellPrompt::of(&self.client);
            // The editor owns the terminal and blocks; it goes to its own thread and comes back.
            let (back, line) = tokio::task::spawn_blocking(move || {
                let line = editor.read_line(&prompt);
                (editor, line)
            })
            .await
            .context("the line editor ended")?;
            editor = back;
            match line.context("reading the terminal")? {
                Signal::Success(line) => {
                    let (pieces, rest) = lines::split(&line);
                    if self.pieces(pieces, 0).await? == Next::Quit {
                        return Ok(());
                    }
                    // A command was given in the middle of a statement, which goes on.
                    if !lines::is_blank(&rest) {
                        editor.run_edit_commands(&[EditCommand::InsertString(rest)]);
                    }
                }
                Signal::CtrlD => return Ok(()),
                // Ctrl-C drops the line.
                _ => {}
            }
            if !self.client.is_closed() && gateways.is_empty() {
                gateways = self.gateways().await;
            }
        }
    }

    /// Connects again, to whoever answers first; the node that was left is tried before all others.
    async fn reconnect(&mut self, gateways: &[String]) {
        console::tell(&format!(
            "{} is gone, and with it this session's settings and open transaction.",
            self.client.name()
        ));
        let last = self.client.url().to_owned();
        let others = gateways.iter().filter(|url| **url != last);
        for url in std::iter::once(&last).chain(others) {
            if let Ok(client) = Client::connect_as(url, "meridian sql", PATIENCE).await {
                self.take(client);
                console::tell(&format!("Connected to {}.", self.client.peer()));
                return;
            }
        }
        console::tell("No node answers; \\c [NODE] tries again.");
    }

    fn take(&mut self, client: Client) {
        self.client = client;
        self.words.refresh(self.client.url());
    }

    /// `\c`: to the same node, or another one. Where that fails the connection before stays.
    pub(super) async fn connect(&mut self, to: Option<&str>) -> anyhow::Result<Next> {
        let url = match to {
            None => Ok(self.client.url().to_owned()),
            Some(url) if url.contains("://") => Ok(url.to_owned()),
            Some(place) => self.url_of(place).await,
        };
        let connected = match url {
            Ok(url) => Client::connect(&url).await.map_err(|error| format!("{error:#}")),
            Err(why) => Err(why),
        };
        match connected {
            Ok(client) => {
                self.take(client);
                self.say(&format!("connected to {}\n", self.client.peer())).map(|()| Next::Go)
            }
            Err(why) => Ok(failed(&why)),
        }
    }

    /// The connection string of a node, or of a node that answers in a region.
    async fn url_of(&self, place: &str) -> Result<String, String> {
        let answers = self.client.run("SHOW NODES").await?;
        let nodes = answers.first().cloned().unwrap_or_default();
        let address = address_of(place, &nodes)?;
        elsewhere(self.client.url(), &address).map_err(|error| format!("{error:#}"))
    }
}

/// Where clients reach a node (`n3`, `3`), or the first of a region that answers.
fn address_of(place: &str, nodes: &Answer) -> Result<String, String> {
    let column = |name| nodes.column(name).map(Option::unwrap_or_default);
    let all =
        column("node_id").zip(column("region")).zip(column("live")).zip(column("sql_address"));
    let all: Vec<_> =
        all.map(|(((id, region), live), address)| (id, region, live, address)).collect();
    let number = place.strip_prefix('n').unwrap_or(place);
    let node = all.iter().find(|(id, ..)| *id == number);
    let in_region = || all.iter().find(|(_, region, live, _)| *region == place && *live == "t");
    if let Some((.., address)) = node.or_else(in_region) {
        return Ok((*address).to_owned());
    }
    if all.iter().any(|(_, region, ..)| *region == place) {
        return Err(format!("no node in {place} answers"));
    }
    let mut regions: Vec<&str> = all.iter().map(|(_, region, ..)| *region).collect();
    regions.sort_unstable();
    regions.dedup();
    let ids: Vec<String> = all.iter().map(|(id, ..)| format!("n{id}")).collect();
    Err(format!(
        "there is no node or region {place}: nodes {}; regions {}",
        ids.join(", "),
        regions.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{Column, Kind};

    #[test]
    fn a_place_is_a_node_or_a_region_that_answers() {
        let columns = ["node_id", "region", "live", "sql_address"];
        let column = |name: &str| Column { name: name.to_owned(), kind: Kind::Text };
        let rows =
            [["1", "east", "f", "a:1"], ["2", "east", "t", "a:2"], ["3", "west", "f", "a:3"]];
        let row = |row: [&str; 4]| row.iter().map(|cell| Some((*cell).to_owned())).collect();
        let nodes = Answer {
            columns: Some(columns.map(column).to_vec()),
            rows: rows.map(row).to_vec(),
            ..Answer::default()
        };
        let found = |place| address_of(place, &nodes);
        assert_eq!(found("n1"), Ok("a:1".to_owned()));
        assert_eq!(found("3"), Ok("a:3".to_owned()));
        assert_eq!(found("east"), Ok("a:2".to_owned()));
        assert_eq!(found("west"), Err("no node in west answers".to_owned()));
        let unknown = "there is no node or region n9: nodes n1, n2, n3; regions east, west";
        assert_eq!(found("n9"), Err(unknown.to_owned()));
    }
}
