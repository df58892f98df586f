//! Tables as operators know them, for commands that are not about rows of settings. cli.md 3.2

/// A column: its header, and whether it stands to the left.
pub(crate) struct Column(pub(crate) &'static str, pub(crate) bool);

/// Header, rule, rows, a blank line and the count.
pub(crate) fn table(columns: &[Column], rows: &[Vec<String>]) -> Vec<String> {
    let length = |text: &str| text.chars().count();
    let widths: Vec<usize> = columns
        .iter()
        .enumerate()
        .map(|(index, column)| {
            let cells = rows.iter().filter_map(|row| row.get(index)).map(|cell| length(cell));
            cells.max().unwrap_or(0).max(length(column.0))
        })
        .collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut text = String::new();
        for ((cell, width), column) in cells.zip(&widths).zip(columns) {
            let padding = " ".repeat(width.saturating_sub(length(cell)));
            let (first, second) = if column.1 { (cell, padding.as_str()) } else { (padding.as_str(), cell) };
            text.extend(["  ", first, second]);
        }
        text.trim_end().to_owned()
    };
    let mut lines = vec![line(&mut columns.iter().map(|column| column.0))];
    lines.push("=".repeat(widths.iter().map(|width| width + 2).sum()));
    lines.extend(rows.iter().map(|row| line(&mut row.iter().map(String::as_str))));
    lines.push(String::new());
    lines.push(match rows.len() {
        count @ (0 | 1) => format!("{count} entry found."),
        count => format!("{count} entries found."),
    });
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_have_the_known_geometry() {
        let columns = [Column("Id", false), Column("Name", true)];
        assert_eq!(table(&columns, &[]), ["  Id  Name", "==========", "", "0 entry found."]);
        let rows = [vec!["1".to_owned(), "x".to_owned()], vec!["22222".to_owned(), "yy".to_owned()]];
        assert_eq!(
            table(&columns, &rows),
            ["     Id  Name", "=============", "      1  x", "  22222  yy", "", "2 entries found."]
        );
    }
}
