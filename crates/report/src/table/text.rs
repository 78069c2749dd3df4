//! Tables for a terminal.

use comfy_table::{CellAlignment, ContentArrangement, LineStyle, Row, Table as Grid, TableStyle};

use super::{Kind, Table, shown};
use crate::terminal::WIDTH;

/// Only a line under the head: the columns are aligned, which is border enough.
const STYLE: TableStyle =
    TableStyle::new().header_separator(LineStyle::none().fill('\u{2500}').junction('\u{2500}'));

impl Table {
    /// The table as text of at most [`WIDTH`] columns; long names are wrapped. Intervals stand
    /// beside their values in brackets.
    pub fn to_text(&self) -> String {
        let mut grid = Grid::new();
        grid.load_style(STYLE)
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(WIDTH as u16);
        grid.set_header(self.columns.iter().map(|column| column.heading("")));
        for row in self.text_rows() {
            grid.add_row(Row::from(row));
        }
        for (column, grid_column) in self.columns.iter().zip(grid.column_iter_mut()) {
            grid_column.set_padding((0, 1));
            if column.is_numeric() {
                grid_column.set_cell_alignment(CellAlignment::Right);
            }
        }
        let lines = grid.lines().map(|line| line.replace('\u{a0}', " ").trim_end().to_owned());
        let lines: Vec<String> = lines.collect();
        lines.join("\n") + "\n"
    }

    /// The cells as text, intervals padded so that values stay below each other.
    fn text_rows(&self) -> Vec<Vec<String>> {
        let decimals = self.decimals();
        let mut rows = vec![Vec::new(); self.rows.len()];
        for (at, column) in self.columns.iter().enumerate() {
            let cells = self.rows.iter().map(|row| shown(&row[at], decimals[at]));
            let cells: Vec<_> =
                cells.map(|(value, ends)| (value, ends.map(|ends| format!(" [{ends}]")))).collect();
            let widest =
                |ends: &Option<String>| ends.as_ref().map_or(0, |ends| ends.chars().count());
            let width = cells.iter().map(|(_, ends)| widest(ends)).max().unwrap_or(0);
            for (row, (value, ends)) in rows.iter_mut().zip(cells) {
                row.push(match column.kind {
                    // A space that does not break keeps its place at the end of a cell.
                    Kind::Estimate => {
                        let ends = ends.unwrap_or_default().replace(' ', "\u{a0}");
                        let gap = "\u{a0}".repeat(width - ends.chars().count());
                        format!("{value}{ends}{gap}")
                    }
                    Kind::Text | Kind::Count | Kind::Number => value,
                });
            }
        }
        rows
    }
}
