//! What an experiment found: said once, printed in the terminal, drawn on a page, written as CSV.

use std::{fs, io, path::Path};

use report::{Chart, Page, Table, terminal};

/// Makes sure, before anything is measured, that a folder takes what will be written.
///
/// # Errors
/// If it does not.
pub fn prepare(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let probe = folder.join(".experiment");
    fs::write(&probe, [])?;
    fs::remove_file(probe)
}

/// What an experiment found.
pub struct Findings {
    name: &'static str,
    text: String,
    page: Page,
    tables: Vec<(&'static str, Table)>,
    /// The figures of the page, in order; `None`: no single drawing.
    drawings: Vec<Option<String>>,
    wrong: Vec<String>,
}

impl Findings {
    /// Nothing yet. `command` makes these findings again.
    #[must_use]
    pub fn begin(name: &'static str, title: &str, lead: &str, command: &str) -> Findings {
        let mut page = Page::new(title, lead);
        page.command(command);
        let text = format!("{title}\n\n{}\n", terminal::wrap(lead));
        let (tables, drawings, wrong) = Default::default();
        Findings { name, text, page, tables, drawings, wrong }
    }

    /// Begins a section.
    pub fn heading(&mut self, heading: &str) {
        self.page.heading(heading);
        self.text += &format!("\n== {heading}\n");
    }

    /// Paragraphs.
    pub fn say(&mut self, prose: &str) {
        self.page.prose(prose);
        self.text += &format!("\n{}\n", terminal::wrap(prose));
    }

    /// What to make of it.
    pub fn note(&mut self, prose: &str) {
        self.page.note(prose);
        self.text += &format!("\n{}\n", terminal::wrap(prose));
    }

    /// Lines of characters that stand as they are.
    pub fn listing(&mut self, lines: &str) {
        self.page.listing(lines);
        self.text += &format!("\n{lines}");
    }

    /// The few numbers that matter most.
    pub fn key_numbers(&mut self, numbers: &[(&str, &str)]) {
        self.page.key_numbers(numbers);
    }

    /// A table; the file for its CSV is named after it.
    pub fn table(&mut self, name: &'static str, caption: &str, table: Table) {
        self.page.table(caption, &table);
        self.text += &format!("\n{caption}\n{}", table.to_text());
        self.tables.push((name, table));
    }

    /// A table that is too wide for a terminal, which gets a narrower one instead.
    pub fn wide_table(&mut self, name: &'static str, caption: &str, wide: Table, narrow: &Table) {
        self.page.table(caption, &wide);
        self.text += &format!("\n{caption}\n{}", narrow.to_text());
        self.tables.push((name, wide));
    }

    /// A table that is only written as CSV.
    pub fn file(&mut self, name: &'static str, table: Table) {
        self.tables.push((name, table));
    }

    /// A chart, for the page, and a file of its own if it is one drawing.
    pub fn chart(&mut self, chart: &dyn Chart) {
        self.page.chart(chart);
        self.drawings.push(report::drawing(chart));
    }

    /// Text for the terminal alone.
    pub fn print(&mut self, text: &str) {
        self.text += text;
    }

    /// Something that must hold, and whether it does.
    pub fn expect(&mut self, holds: bool, what: &str) {
        if !holds {
            self.wrong.push(what.to_owned());
        }
    }

    /// The summary for the terminal.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What should have held and did not.
    #[must_use]
    pub fn wrong(&self) -> &[String] {
        &self.wrong
    }

    /// Writes the page, a CSV file per table and an SVG file per figure; answers the page's name.
    ///
    /// # Errors
    /// If the folder takes no files.
    pub fn write(&self, folder: &Path) -> io::Result<std::path::PathBuf> {
        fs::create_dir_all(folder)?;
        for (table, content) in &self.tables {
            let file = fs::File::create(folder.join(format!("{}-{table}.csv", self.name)))?;
            content.write_csv(io::BufWriter::new(file)).map_err(io::Error::other)?;
        }
        for (nth, drawing) in (1..).zip(&self.drawings) {
            if let Some(drawing) = drawing {
                fs::write(folder.join(format!("{}-{nth}.svg", self.name)), drawing)?;
            }
        }
        let page = folder.join(format!("{}.html", self.name));
        fs::write(&page, self.page.render())?;
        Ok(page)
    }
}
