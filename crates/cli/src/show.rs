//! Rows as operators see them: `name = value` lines, tables, and the same as JSON. cli.md 3.1 and 3.2.

use openadp_settings::{Align, Context, Kind, Parameter, Presented, Role, Row, Shape, Snapshot, Value};
use serde_json::{Map, Value as Json, json};

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

    /// Header, rule, rows, a blank line and the count.
    pub(crate) fn lines(&self) -> Vec<String> {
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
        lines.push("=".repeat(widths.iter().map(|width| width + 2).sum()));
        lines.extend(self.rows.iter().map(|row| line(&mut row.iter().map(String::as_str))));
        lines.push(String::new());
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
fn shown(parameter: &Parameter, row: Option<&Row>) -> String {
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
pub(crate) fn table_lines(context: &'static Context, snapshot: &Snapshot, rows: &[&Row]) -> Vec<String> {
    if let Some(present) = context.present {
        let presented: Vec<Presented> = rows.iter().map(|row| present(snapshot, row)).collect();
        let headers = presented.first().cloned().unwrap_or_else(|| present(snapshot, &Row::default()));
        return presented_lines(context, &headers, &presented);
    }
    let mut table = Table::new(visible(context).map(|p| (header(p), p.align)).collect());
    for row in rows {
        table.row(visible(context).map(|parameter| shown(parameter, Some(row))).collect());
    }
    table.lines()
}

/// A table of headers and cells that the declaring crate made.
pub(crate) fn presented_lines(
    context: &'static Context,
    headers: &Presented,
    rows: &[Presented],
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
    table.lines()
}

/// A row as JSON: parameter names and types, secrets only as whether they are set.
fn row_json(context: &'static Context, row: Option<&Row>) -> Json {
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
