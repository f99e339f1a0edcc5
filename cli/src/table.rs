//! Tables for people, as wide as their terminal.

use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use comfy_table::{ColumnConstraint, ContentArrangement, Table};

use crate::output::harmless;

/// Makes a table within `width` columns, if there is such a limit.
pub(crate) fn table<const N: usize>(header: [&str; N], width: Option<u16>) -> Table {
    let mut table = Table::new();
    table
        .load_preset(UTF8_HORIZONTAL_ONLY)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(header);
    if let Some(width) = width {
        table.set_width(width);
    }
    table
}

/// Adds a row of what others may have chosen.
pub(crate) fn add_row<const N: usize>(table: &mut Table, cells: [String; N]) {
    table.add_row(cells.map(|cell| harmless(&cell).replace('\n', "\\n")));
}

/// Leaves the last column, an id, out on a narrow terminal: a name says as much, and ids stand in
/// `--json`.
pub(crate) fn hide_id(table: &mut Table, width: Option<u16>) {
    let last = table.column_count().saturating_sub(1);
    if width.is_some_and(|width| width < ROOMY)
        && let Some(id) = table.column_mut(last)
    {
        id.set_constraint(ColumnConstraint::Hidden);
    }
}

/// Shows what may be absent.
pub(crate) fn shown(text: Option<&String>) -> String {
    text.cloned().unwrap_or_else(|| String::from("-"))
}

/// The width of the terminal; `None` for a file or a pipe.
pub(crate) fn width() -> Option<u16> {
    terminal_size::terminal_size_of(std::io::stdout()).map(|(width, _)| width.0)
}

/// From this width on ids are shown.
const ROOMY: u16 = 120;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_others_choose_command_no_terminal_and_break_no_row() {
        let mut table = table(["Worker"], None);
        add_row(&mut table, [String::from("a\x1b[2J\nb")]);
        let shown = table.to_string();
        assert!(shown.contains("a\\u{1b}[2J\\nb") && !shown.contains('\x1b'), "{shown:?}");
    }
}
