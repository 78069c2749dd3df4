//! Golden scripts of everything the shell prints, in `testscripts`: one subject per file. To accept
//! changed output: `UPDATE_GOLDENFILES=1 cargo test -p sql-shell scripts`.

use std::{collections::BTreeMap, error::Error, time::Duration};

use goldenscript::{Context, Runner};

use crate::{
    Format,
    client::{Answer, Column, Kind},
    complete::{self, Vocabulary},
    lines, meta,
    output::{Layout, Style, render},
    watch::{Look, Moment, Stream},
};

/// What a script may say. `NULL` is NULL.
#[derive(Debug, goldenscript::Command)]
enum Command {
    /// Begins a result with these columns: `result id:number ok:bool name:text`. Without columns it
    /// is that of a statement without rows.
    Result(#[arg(optional)] Vec<String>),
    /// Adds a row to it.
    Row(Vec<String>),
    /// What its command tag says: `tag ROLLBACK`, `tag "INSERT 0 3" count=3`.
    Tag(String, #[arg(key = "count", optional)] u64),
    /// Prints the result: `show`, `show json`, `show table x=auto width=80`.
    Show {
        #[arg(optional)]
        format: String,
        #[arg(key, optional)]
        x: String,
        #[arg(key)]
        width: Option<usize>,
    },
    /// Cuts input into pieces.
    Split(String),
    /// What the line becomes: the command it is.
    Meta(String),
    /// The help.
    Help,
    /// A word that the cluster knows: `word table accounts id owner`, `word node n1 n2`.
    Word(String, Vec<String>),
    /// Completes a line.
    Complete(String),
    /// What the cluster counts and how its knobs stand from now on: `cluster us-east=4 west=6.5`.
    Cluster(BTreeMap<String, f64>),
    /// Commits that took so many milliseconds are counted: `commits 10 41 hidden=8`.
    Commits(u64, f64, #[arg(key = "hidden")] Option<f64>),
    /// A knob stands: `knob clock.epsilon cluster 4ms default=4ms`; with `NULL` it has no row.
    Knob(String, String, String, #[arg(key = "default", optional)] String),
    /// Begins to watch.
    Watch(#[arg(optional)] String),
    /// An interval of a second is over.
    Interval,
    /// It is interrupted.
    Stop,
}

#[derive(Default)]
struct Script {
    answer: Answer,
    words: Vocabulary,
    epsilons: BTreeMap<String, f64>,
    counts: BTreeMap<(String, String), u64>,
    knobs: BTreeMap<(String, String), (String, String)>,
    watching: Option<Watching>,
}

struct Watching {
    stream: Stream,
    first: Look,
    last: Look,
    seconds: u64,
}

fn cell(text: &str) -> Option<String> {
    (text != "NULL").then(|| text.to_owned())
}

fn format(name: &str) -> Result<Format, String> {
    match name {
        "" | "table" => Ok(Format::Table),
        "csv" => Ok(Format::Csv),
        "json" => Ok(Format::Json),
        other => Err(format!("there is no format {other}")),
    }
}

fn answer(rows: Vec<Vec<String>>) -> Answer {
    let row = |row: Vec<String>| row.into_iter().map(Some).collect();
    Answer { rows: rows.into_iter().map(row).collect(), ..Answer::default() }
}

impl Script {
    fn result(&mut self, columns: &[String]) -> Result<String, Box<dyn Error>> {
        let column = |text: &String| {
            let (name, kind) = text.rsplit_once(':').ok_or("write name:kind")?;
            let kind = match kind {
                "number" => Kind::Number,
                "bool" => Kind::Bool,
                "text" => Kind::Text,
                other => return Err(format!("there is no kind {other}")),
            };
            Ok(Column { name: name.to_owned(), kind })
        };
        let columns = columns.iter().map(column).collect::<Result<Vec<Column>, String>>()?;
        self.answer = Answer::default();
        self.answer.columns = (!columns.is_empty()).then_some(columns);
        Ok(String::new())
    }

    fn show(&self, name: &str, x: &str, width: Option<usize>) -> Result<String, Box<dyn Error>> {
        let layout = match x {
            "" | "off" => Layout::Rows,
            "on" => Layout::Expanded,
            "auto" => Layout::Auto,
            other => return Err(format!("\\x {other}").into()),
        };
        Ok(render(&self.answer, Style { format: format(name)?, layout, width }))
    }

    fn look(&self) -> Result<Look, String> {
        let counts = self.counts.iter().map(|((metric, millis), count)| {
            vec![metric.clone(), millis.clone(), millis.clone(), count.to_string()]
        });
        let epsilons = self.epsilons.iter();
        let epsilons =
            epsilons.map(|(region, ms)| vec!["1".into(), region.clone(), ms.to_string()]);
        let knobs = self.knobs.iter().map(|((name, scope), (value, default))| {
            vec![name.clone(), scope.clone(), value.clone(), default.clone()]
        });
        let answers =
            [answer(counts.collect()), answer(epsilons.collect()), answer(knobs.collect())];
        Look::read(&answers)
    }

    fn interval(&mut self) -> Result<String, Box<dyn Error>> {
        let now = self.look()?;
        let watching = self.watching.as_mut().ok_or("watch first")?;
        watching.seconds += 1;
        let clock = format!("10:00:{:02}", watching.seconds);
        let at = Moment { stamp: format!("2026-01-02T{clock}.000Z"), clock };
        let text = watching.stream.interval(&at, (&watching.last, &now), Duration::from_secs(1));
        watching.last = now;
        Ok(text)
    }

    fn complete(&self, line: &str) -> String {
        let found = complete::complete(line, &self.words);
        format!("{}[{}]\n", &line[..found.start], found.values.join(" | "))
    }
}

impl Runner for Script {
    type Command = Command;

    fn run(&mut self, command: &Command, _: &Context) -> Result<String, Box<dyn Error>> {
        let mut text = String::new();
        match command {
            Command::Result(columns) => return self.result(columns),
            Command::Row(cells) => {
                self.answer.rows.push(cells.iter().map(|text| cell(text)).collect());
            }
            Command::Tag(tag, count) => {
                (self.answer.tag, self.answer.count) = (tag.clone(), *count);
            }
            Command::Show { format, x, width } => text = self.show(format, x, *width)?,
            Command::Split(input) => {
                let (pieces, rest) = lines::split(input);
                pieces.iter().for_each(|piece| text += &format!("{piece:?}\n"));
                text += &format!("rest {rest:?}, finished: {}\n", lines::is_finished(input));
            }
            Command::Meta(line) => text = format!("{:?}\n", meta::parse(line)),
            Command::Help => text = meta::help(),
            Command::Word(kind, words) => {
                let words = words.clone();
                match (kind.as_str(), words.split_first()) {
                    ("table", Some((table, columns))) => {
                        self.words.tables.insert(table.clone(), columns.to_vec());
                    }
                    ("setting", _) => self.words.settings = words,
                    ("cluster", _) => self.words.cluster_settings = words,
                    ("node", _) => self.words.nodes = words,
                    ("region", _) => self.words.regions = words,
                    _ => return Err(format!("there is no {kind}").into()),
                }
            }
            Command::Complete(line) => text = self.complete(line),
            Command::Cluster(epsilons) => self.epsilons = epsilons.clone(),
            Command::Commits(count, millis, hidden) => {
                let mut add = |metric: &str, millis: f64| {
                    let bucket = (metric.to_owned(), millis.to_string());
                    *self.counts.entry(bucket).or_default() += count;
                };
                add("latency", *millis);
                hidden.iter().for_each(|hidden| add("hidden", *hidden));
            }
            Command::Knob(name, scope, value, default) => {
                let at = (name.clone(), scope.clone());
                match cell(value) {
                    Some(value) => self.knobs.insert(at, (value, default.clone())),
                    None => self.knobs.remove(&at),
                };
            }
            Command::Watch(name) => {
                let first = self.look()?;
                let regions = self.epsilons.keys().cloned().collect();
                let stream = Stream::new(format(name)?, regions);
                self.watching = Some(Watching { stream, last: first.clone(), first, seconds: 0 });
            }
            Command::Interval => text = self.interval()?,
            Command::Stop => {
                let watching = self.watching.take().ok_or("watch first")?;
                text = watching.stream.end(&watching.first, &watching.last);
            }
        }
        Ok(text)
    }
}

#[test]
fn scripts() {
    let entries = std::fs::read_dir("testscripts").expect("the directory is there");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("readable").path()).collect();
    paths.sort();
    assert!(paths.len() >= 8, "{paths:?}");
    for path in paths {
        if let Err(error) = goldenscript::run(&mut Script::default(), &path) {
            panic!("{}: {error}", path.display());
        }
    }
}
