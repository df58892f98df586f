//! Rows as operators see them: `name = value` lines, tables, and the same as JSON. cli.md 3.1 and 3.2.

use openadp_settings::{
    Align, Context, Kind, Parameter, Presented, Role, Row, RowChange, Shape, Snapshot, Value,
};
use serde_json::{Map, Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};

/// Cells of a table, its first line being the headers.
pub(crate) struct Table {
    columns: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(columns: Vec<(String, Align)>) -> Self {
        Self { columns, rows: Vec::new() }
    }
    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// The cells, headers first.
    pub(crate) fn into_rows(self) -> Vec<Vec<String>> {
        let headers = self.columns.into_iter().map(|(header, _)| header).collect();
        std::iter::once(headers).chain(self.rows).collect()
    }

    /// Header, rule, rows, a blank line and the count; entry by entry where that is wider than `most` columns (0: never).
    pub(crate) fn lines(&self, most: usize) -> Vec<String> {
        let width = |text: &str| text.chars().count();
        let widths: Vec<usize> = self
            .columns
            .iter()
            .enumerate()
            .map(|(index, (header, _))| {
                let cells = self.rows.iter().filter_map(|row| row.get(index));
                cells.map(|cell| width(cell)).chain([width(header)]).max().unwrap_or_default()
            })
            .collect();
        let total: usize = widths.iter().map(|width| width + 2).sum();
        if most > 0 && total > most {
            return self.folded();
        }
        let line = |cells: &mut dyn Iterator<Item = &str>| {
            let mut line = String::new();
            for ((cell, width), (_, align)) in cells.zip(&widths).zip(&self.columns) {
                let cell = match align {
                    Align::Right => format!("  {cell:>width$}"),
                    Align::Left => format!("  {cell:<width$}"),
                };
                line.push_str(&cell);
            }
            line.trim_end().to_owned()
        };
        let mut lines = vec![line(&mut self.columns.iter().map(|(header, _)| header.as_str()))];
        lines.push("=".repeat(total));
        lines.extend(self.rows.iter().map(|row| line(&mut row.iter().map(String::as_str))));
        lines.push(String::new());
        lines.push(count(self.rows.len()));
        lines
    }
}

impl Table {
    /// Entry by entry, a cell a line.
    fn folded(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for row in &self.rows {
            let cells = self.columns.iter().zip(row);
            lines.extend(
                cells.map(|((header, _), cell)| format!("  {header} = {cell}").trim_end().to_owned()),
            );
            lines.push(String::new());
        }
        lines.push(count(self.rows.len()));
        lines
    }
}

/// The line below a table. Zero takes the singular.
fn count(rows: usize) -> String {
    let noun = if rows > 1 { "entries" } else { "entry" };
    format!("{rows} {noun} found.")
}

/// What is shown of a value, or of its default.
pub(crate) fn shown(parameter: &Parameter, row: Option<&Row>) -> String {
    let stored = row.and_then(|row| row.explicit(parameter.name)).map(Value::shown);
    one_line(stored.or(parameter.default).unwrap_or_default())
}

/// A cell is one line: what has more is cut at the first.
fn one_line(text: &str) -> String {
    match text.split_once(['\n', '\r']) {
        Some((first, _)) => format!("{first}..."),
        None => text.to_owned(),
    }
}

fn visible(context: &'static Context) -> impl Iterator<Item = &'static Parameter> {
    context.parameters.iter().filter(|parameter| !parameter.hidden)
}

/// The `name = value` lines of a row; of all its parameters, or only of these.
pub(crate) fn row_lines(
    context: &'static Context,
    row: Option<&Row>,
    only: &[&'static Parameter],
) -> Vec<String> {
    visible(context)
        .filter(|parameter| only.is_empty() || only.iter().any(|wanted| wanted.name == parameter.name))
        .map(|parameter| format!("  {} = {}", parameter.name, shown(parameter, row)).trim_end().to_owned())
        .collect()
}

fn header(parameter: &Parameter) -> String {
    if parameter.header.is_empty() { parameter.name } else { parameter.header }.to_owned()
}

/// The table of a context's rows.
pub(crate) fn table_lines(
    context: &'static Context,
    snapshot: &Snapshot,
    rows: &[&Row],
    width: usize,
) -> Vec<String> {
    if let Some(present) = context.present {
        let presented: Vec<Presented> = rows.iter().map(|row| present(snapshot, row)).collect();
        let headers = presented.first().cloned().unwrap_or_else(|| present(snapshot, &Row::default()));
        return presented_lines(context, &headers, &presented, width);
    }
    let mut table = Table::new(visible(context).map(|p| (header(p), p.align)).collect());
    for row in rows {
        table.row(visible(context).map(|parameter| shown(parameter, Some(row))).collect());
    }
    table.lines(width)
}

/// A table of headers and cells that the declaring crate made.
pub(crate) fn presented_lines(
    context: &'static Context,
    headers: &Presented,
    rows: &[Presented],
    width: usize,
) -> Vec<String> {
    let align = |header: &str| {
        let same =
            |p: &&Parameter| p.header.eq_ignore_ascii_case(header) || p.name.eq_ignore_ascii_case(header);
        context.parameters.iter().find(same).map_or(Align::Right, |parameter| parameter.align)
    };
    let mut table =
        Table::new(headers.iter().map(|(header, _)| ((*header).to_owned(), align(header))).collect());
    for row in rows {
        table.row(row.iter().map(|(_, cell)| one_line(cell)).collect());
    }
    table.lines(width)
}

/// A row as JSON: parameter names and types, secrets only as whether they are set.
pub(crate) fn row_json(context: &'static Context, row: Option<&Row>) -> Json {
    let mut object = Map::new();
    for parameter in context.parameters {
        let stored = row.and_then(|row| row.explicit(parameter.name));
        let text = stored.map(Value::text).or(parameter.default);
        let value = match (parameter.kind, text) {
            (Kind::Secret { .. }, text) => json!({ "set": text.is_some_and(|text| !text.is_empty()) }),
            (_, None) => Json::Null,
            (Kind::Boolean, Some(text)) => json!(text == "true"),
            (Kind::Integer { .. }, Some(text)) => {
                text.parse::<i64>().map_or(json!(text), |number| json!(number))
            }
            (_, Some(text)) => json!(text),
        };
        object.insert(parameter.name.to_owned(), value);
    }
    Json::Object(object)
}

/// A context's rows as JSON.
pub(crate) fn context_json(context: &'static Context, rows: &[&Row], remark: Option<&str>) -> Json {
    match context.shape {
        Shape::Table => {
            let rows: Vec<Json> = rows.iter().map(|row| row_json(context, Some(row))).collect();
            let mut object = json!({ "context": context.full_path(), "rows": rows });
            if let (Some(remark), Some(object)) = (remark, object.as_object_mut()) {
                object.insert("remark".to_owned(), json!(remark));
            }
            object
        }
        Shape::Single | Shape::Actions => {
            json!({ "context": context.full_path(), "values": row_json(context, rows.first().copied()) })
        }
    }
}

/// Presented rows as JSON.
pub(crate) fn presented_json(context: &'static Context, rows: &[Presented]) -> Json {
    let object = |row: &Presented| -> Map<String, Json> {
        row.iter().map(|(header, cell)| ((*header).to_owned(), json!(cell))).collect()
    };
    json!({ "context": context.full_path(), "rows": rows.iter().map(object).collect::<Vec<_>>() })
}

/// A line of values with commas between them; RFC 4180, with the line ends of this system.
pub(crate) fn csv_line(cells: &[String]) -> String {
    let cell = |cell: &String| {
        if cell.contains([',', '"', '\n', '\r']) || cell != cell.trim() {
            format!("\"{}\"", cell.replace('"', "\"\""))
        } else {
            cell.clone()
        }
    };
    cells.iter().map(cell).collect::<Vec<_>>().join(",")
}

/// A context's rows by the names of their parameters; secrets as stars, hidden values too.
pub(crate) fn context_rows(
    context: &'static Context,
    snapshot: &Snapshot,
    rows: &[&Row],
) -> Vec<Vec<String>> {
    if let Some(present) = context.present {
        let headers = present(snapshot, rows.first().copied().unwrap_or(&Row::default()));
        let headers = headers.iter().map(|(header, _)| (*header).to_owned()).collect();
        let cells = |row: &&Row| present(snapshot, row).into_iter().map(|(_, cell)| cell).collect();
        return std::iter::once(headers).chain(rows.iter().map(cells)).collect();
    }
    let cell = |parameter: &Parameter, row: &Row| {
        let stored = row.explicit(parameter.name).map(Value::shown);
        stored.or(parameter.default).unwrap_or_default().to_owned()
    };
    let names = context.parameters.iter().map(|parameter| parameter.name.to_owned()).collect();
    let none = Row::default();
    let single = (context.shape == Shape::Single && rows.is_empty()).then_some(&none);
    let rows = rows.iter().copied().chain(single);
    let values = rows.map(|row| context.parameters.iter().map(|parameter| cell(parameter, row)).collect());
    std::iter::once(names).chain(values).collect()
}

/// Presented rows, headers first.
pub(crate) fn presented_rows(rows: &[Presented]) -> Vec<Vec<String>> {
    let headers = rows.first().map(|row| row.iter().map(|(header, _)| (*header).to_owned()).collect());
    let cells = rows.iter().map(|row| row.iter().map(|(_, cell)| cell.clone()).collect());
    headers.into_iter().chain(cells).collect()
}

/// Changes of rows, one changed value a row.
pub(crate) fn change_rows(changes: &[RowChange]) -> Vec<Vec<String>> {
    let names = ["context", "key", "parameter", "before", "after"].map(str::to_owned).to_vec();
    let mut rows = vec![names];
    for change in changes {
        let value = |side: &Option<BTreeMap<String, String>>, name: &String| {
            side.as_ref().and_then(|row| row.get(name)).cloned().unwrap_or_default()
        };
        let sides = change.before.iter().chain(&change.after);
        let names: BTreeSet<&String> = sides.flat_map(BTreeMap::keys).collect();
        for name in names {
            let (before, after) = (value(&change.before, name), value(&change.after, name));
            if before != after {
                rows.push(vec![change.context.clone(), change.key.join(" "), name.clone(), before, after]);
            }
        }
    }
    rows
}

/// The rows whose key begins with these words: as typed, or in the canonical form of their kinds.
pub(crate) fn matching<'a>(
    context: &'static Context,
    snapshot: &'a Snapshot,
    words: &[String],
) -> Vec<&'a Row> {
    let keys: Vec<&Parameter> = context.parameters.iter().filter(|p| p.role == Role::Key).collect();
    let fits = |row: &&Row| {
        let own = row.key(context);
        words.iter().zip(keys.iter().zip(own)).all(|(word, (parameter, own))| {
            own.eq_ignore_ascii_case(word)
                || parameter.kind.parse(word).is_ok_and(|canonical| own.eq_ignore_ascii_case(&canonical))
        })
    };
    snapshot.rows_of(context).iter().filter(fits).collect()
}
