//! Tables as the CLI prints them (cli.md 3.2): two blanks and the width of the longest cell a column, a rule of the whole
//! width, a count.

/// A table with these headers; identities to the left, everything else to the right.
pub(super) fn table<const N: usize>(
    headers: [&str; N],
    left: [bool; N],
    rows: &[[String; N]],
) -> Vec<String> {
    let length = |text: &str| text.chars().count();
    let widths: [usize; N] = std::array::from_fn(|column| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| length(cell));
        cells.chain(headers.get(column).map(|header| length(header))).max().unwrap_or_default()
    });
    let line = |cells: &[&str]| {
        let mut line = String::new();
        for ((cell, width), left) in cells.iter().zip(widths).zip(left) {
            let blanks = " ".repeat(width.saturating_sub(length(cell)));
            let parts = if left { ["  ", cell, &blanks] } else { ["  ", &blanks, cell] };
            line.extend(parts);
        }
        line.truncate(line.trim_end().len());
        line
    };
    let rule = "=".repeat(widths.iter().map(|width| width + 2).sum());
    let mut lines = vec![line(&headers), rule];
    lines.extend(rows.iter().map(|row| line(&row.each_ref().map(String::as_str))));
    lines.push(String::new());
    lines.push(match rows.len() {
        0 => "0 entry found.".to_owned(),
        1 => "1 entry found.".to_owned(),
        count => format!("{count} entries found."),
    });
    lines
}

/// `name = value`, a line each.
pub(super) fn details<const N: usize>(rows: [(&str, String); N]) -> Vec<String> {
    rows.into_iter().map(|(name, value)| format!("  {name} = {value}").trim_end().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_known_geometry() {
        let rows = [["alice@lab.example".to_owned(), "2100".to_owned()]];
        let printed = table(["User Id", "Extension"], [true, false], &rows);
        assert_eq!(
            printed,
            [
                "  User Id            Extension",
                "==============================",
                "  alice@lab.example       2100",
                "",
                "1 entry found.",
            ]
        );
        assert_eq!(table::<1>(["User Id"], [true], &[]).last().map(String::as_str), Some("0 entry found."));
    }
}
