//! A search as SQL: which entries fit, found by an index wherever there is one for what is asked.

use super::index::{bounds, digits, fold};
use openadp_appserver::{DirectoryQuery, SearchTerm};
use sqlx::{QueryBuilder, Sqlite};

/// Three-character words of one pattern that are looked up; more would not narrow it down further.
const MAX_WORDS: usize = 8;
/// Greater than everything that begins alike.
const ABOVE: char = '\u{10ffff}';

/// Whose entries are searched.
#[derive(Debug, Clone)]
pub(super) struct Scope {
    /// Number of the service provider or enterprise.
    pub(super) place: i64,
    /// Only this group of it.
    pub(super) group: Option<String>,
    /// Only the members of this directory.
    pub(super) custom: Option<i64>,
}

/// How a pattern stands to a value: `*` at either end is a wildcard (xsi.md 3.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Any,
    Exact,
    Infix,
    Prefix,
    Suffix,
}

fn shape(pattern: &str) -> (Shape, &str) {
    let open_start = pattern.starts_with('*');
    let rest = pattern.strip_prefix('*').unwrap_or(pattern);
    let open_end = rest.ends_with('*');
    let text = rest.strip_suffix('*').unwrap_or(rest);
    match (open_start, open_end) {
        (true | false, true) | (true, false) if text.is_empty() => (Shape::Any, text),
        (true, true) => (Shape::Infix, text),
        (true, false) => (Shape::Suffix, text),
        (false, true) => (Shape::Prefix, text),
        (false, false) => (Shape::Exact, text),
    }
}

/// Where a field stands.
struct Field {
    /// Folded.
    folded: &'static str,
    /// As it is shown.
    shown: &'static str,
    /// Index by the place and the folded value.
    index: Option<&'static str>,
    /// Column of the words.
    words: &'static str,
    /// Whether only digits are kept of it.
    digits: bool,
}

const fn field(
    folded: &'static str,
    shown: &'static str,
    index: Option<&'static str>,
    words: &'static str,
) -> Field {
    Field { folded, shown, index, words, digits: false }
}

fn plain_field(name: &str) -> Option<Field> {
    let number = |folded, index| Field { digits: true, ..field(folded, folded, index, "phone") };
    Some(match name {
        "firstName" => field("d.first_name", "d.shown_first", Some("directory_by_first"), "name"),
        "lastName" => field("d.last_name", "d.shown_last", Some("directory_by_last"), "name"),
        "userId" => field("d.user_id", "d.user_id", Some("directory_by_user"), "user_id"),
        "groupId" => field("d.group_folded", "d.group_id", None, "group_id"),
        "number" => number("d.number", Some("directory_by_number")),
        "extension" => field("d.extension", "d.extension", Some("directory_by_extension"), "phone"),
        "mobileNo" => number("d.mobile", None),
        "department" => field("d.department", "u.department", Some("directory_by_department"), "department"),
        "emailAddress" => field("d.email", "u.email", Some("directory_by_email"), "email"),
        "title" => field("d.title", "u.title", None, "title"),
        _ => return None,
    })
}

/// What rows are ordered by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key {
    pub(super) value: &'static str,
    /// Whether some rows lack it; they come last.
    pub(super) nullable: bool,
}

const fn key(value: &'static str) -> Key {
    Key { value, nullable: false }
}

/// The order of a directory: by the names as they are written, or without regard to case by what was asked for.
pub(super) fn order(column: Option<&str>) -> Option<Vec<Key>> {
    const NAMES: [Key; 3] = [key("d.last_name"), key("d.first_name"), key("d.user_id")];
    let first = match column {
        None => return Some(vec![key("d.shown_last"), key("d.shown_first"), key("d.user_id")]),
        Some("lastName" | "name") => return Some(NAMES.to_vec()),
        Some("firstName") => return Some(vec![key("d.first_name"), key("d.last_name"), key("d.user_id")]),
        Some("userId" | "impId") => return Some(vec![key("d.user_id")]),
        Some("groupId") => key("d.group_folded"),
        Some(other) => Key { value: plain_field(other)?.folded, nullable: true },
    };
    Some([first].into_iter().chain(NAMES).collect())
}

/// Writes what gives the column `entry` of everybody that a search fits.
pub(super) fn hits(
    sql: &mut QueryBuilder<Sqlite>,
    scope: &Scope,
    query: &DirectoryQuery,
    imp_domain: Option<&str>,
) {
    for (number, term) in query.terms.iter().enumerate() {
        if number > 0 {
            sql.push(if query.any_term { " UNION " } else { " INTERSECT " });
        }
        sql.push("SELECT entry FROM (");
        let mut search = Search { sql, scope, term, imp_domain, first: true };
        search.write();
        if search.first {
            sql.push("SELECT entry FROM directory WHERE 0");
        }
        sql.push(")");
    }
}

struct Search<'a> {
    sql: &'a mut QueryBuilder<Sqlite>,
    scope: &'a Scope,
    term: &'a SearchTerm,
    imp_domain: Option<&'a str>,
    /// Whether nothing was written yet.
    first: bool,
}

/// A pattern made ready.
struct Pattern {
    shape: Shape,
    /// As it is compared with what is shown or, where case does not count, with what is folded.
    text: String,
    /// As it is looked up.
    folded: String,
}

impl Search<'_> {
    fn write(&mut self) {
        let name = self.term.field.as_str();
        let (plain, is_digits) = (plain_field(name), matches!(name, "number" | "mobileNo"));
        for pattern in &self.term.patterns {
            let bare;
            let pattern = if is_digits {
                bare = digits(pattern);
                &bare
            } else {
                pattern
            };
            let (shape, text) = shape(pattern);
            // Nothing that is stored has any, and none of the languages below takes them well.
            if text.chars().any(char::is_control) {
                continue;
            }
            let folded = fold(text);
            let exact_case = !(self.term.ignore_case || is_digits);
            let text = if exact_case { text.to_owned() } else { folded.clone() };
            let pattern = Pattern { shape, text, folded };
            match (&plain, name) {
                (Some(field), _) => self.plain(field, &pattern, exact_case),
                (None, "name") => self.name(&pattern, exact_case),
                (None, "impId") => self.imp(&pattern),
                (None, _) => {}
            }
        }
    }

    /// Begins one alternative.
    fn select(&mut self, from: &str) {
        if !std::mem::take(&mut self.first) {
            self.sql.push(" UNION ");
        }
        self.sql.push("SELECT d.entry AS entry FROM ").push(from);
    }

    /// Within the scope, by an index that begins with the place.
    fn by_index(&mut self, index: &str, with_user: bool) {
        if self.scope.custom.is_some() {
            self.by_members(with_user);
            return;
        }
        self.select("directory d INDEXED BY ");
        self.sql.push(index);
        self.user(with_user);
        self.sql.push(" WHERE d.place = ").push_bind(self.scope.place);
        self.narrow();
    }

    /// Within the scope, all of it.
    fn by_scan(&mut self, with_user: bool) {
        if self.scope.custom.is_some() {
            self.by_members(with_user);
            return;
        }
        if self.scope.group.is_some() {
            self.by_index("directory_by_group", with_user);
            return;
        }
        self.select("directory d");
        self.user(with_user);
        let (first, last) = bounds(self.scope.place);
        self.sql.push(" WHERE d.entry BETWEEN ").push_bind(first).push(" AND ").push_bind(last);
        self.narrow();
    }

    /// Within the scope, by three characters in a row.
    fn by_words(&mut self, column: &str, folded: &str, with_user: bool) {
        if self.scope.custom.is_some() {
            self.by_members(with_user);
            return;
        }
        self.select("directory_words CROSS JOIN directory d ON d.entry = directory_words.rowid");
        self.user(with_user);
        let (first, last) = bounds(self.scope.place);
        let words: Vec<String> = words(folded).into_iter().take(MAX_WORDS).collect();
        let wanted = format!("{column} : ({})", words.join(" AND "));
        self.sql.push(" WHERE directory_words MATCH ").push_bind(wanted);
        self.sql.push(" AND directory_words.rowid BETWEEN ").push_bind(first).push(" AND ").push_bind(last);
        self.narrow();
    }

    /// The members of a directory that somebody put together, one by one: these are few.
    fn by_members(&mut self, with_user: bool) {
        self.select("custom_directory_users c CROSS JOIN directory d ON d.user_id = c.user_id");
        self.user(with_user);
        self.sql.push(" WHERE c.directory = ").push_bind(self.scope.custom);
    }

    fn user(&mut self, with_user: bool) {
        if with_user {
            self.sql.push(" CROSS JOIN users u ON u.user_id = d.user_id");
        }
    }

    fn narrow(&mut self) {
        if let Some(group) = &self.scope.group {
            self.sql.push(" AND d.group_id = ").push_bind(group.clone());
        }
    }

    /// A range of an index.
    fn range(&mut self, column: &str, shape: Shape, folded: &str) {
        self.sql.push(" AND ").push(column);
        if shape == Shape::Exact {
            self.sql.push(" = ").push_bind(folded.to_owned());
        } else {
            self.sql.push(" >= ").push_bind(folded.to_owned()).push(" AND ").push(column);
            self.sql.push(" < ").push_bind(format!("{folded}{ABOVE}"));
        }
    }

    /// Whether a value fits, to the letter.
    fn fits(&mut self, value: &str, shape: Shape, text: &str) {
        fits_shape(self.sql, value, shape, text);
    }

    fn plain(&mut self, field: &Field, pattern: &Pattern, exact_case: bool) {
        let value = if exact_case && !field.digits { field.shown } else { field.folded };
        let with_user = value.starts_with("u.");
        match (pattern.shape, field.index) {
            (Shape::Exact | Shape::Prefix, Some(index)) => {
                self.by_index(index, with_user);
                self.range(field.folded, pattern.shape, &pattern.folded);
            }
            (Shape::Any, _) => self.by_scan(with_user),
            _ if has_word(&pattern.folded) => self.by_words(field.words, &pattern.folded, with_user),
            _ => self.by_scan(with_user),
        }
        self.sql.push(" AND ");
        self.fits(value, pattern.shape, &pattern.text);
    }

    /// First name, last name, or both in either order.
    fn name(&mut self, pattern: &Pattern, exact_case: bool) {
        let (first, last) =
            if exact_case { ("d.shown_first", "d.shown_last") } else { ("d.first_name", "d.last_name") };
        let is_word = !pattern.folded.contains(' ');
        if matches!(pattern.shape, Shape::Exact | Shape::Prefix) && is_word {
            // What has no blank is all of, or begins, one of the names.
            for (index, folded, value) in
                [("directory_by_first", "d.first_name", first), ("directory_by_last", "d.last_name", last)]
            {
                self.by_index(index, false);
                self.range(folded, pattern.shape, &pattern.folded);
                self.sql.push(" AND ");
                self.fits(value, pattern.shape, &pattern.text);
            }
            return;
        }
        if pattern.shape != Shape::Any && has_word(&pattern.folded) {
            self.by_words("name", &pattern.folded, false);
        } else {
            self.by_scan(false);
        }
        self.sql.push(" AND (");
        let both = [format!("({first} || ' ' || {last})"), format!("({last} || ' ' || {first})")];
        let alone =
            if pattern.shape == Shape::Exact { vec![first.to_owned(), last.to_owned()] } else { vec![] };
        for (number, value) in both.iter().chain(&alone).enumerate() {
            if number > 0 {
                self.sql.push(" OR ");
            }
            self.fits(value, pattern.shape, &pattern.text);
        }
        self.sql.push(")");
    }

    /// The address for messages: the user id's own part in the messaging domain. User ids are in lower case, and so are these.
    fn imp(&mut self, pattern: &Pattern) {
        let Some(domain) = self.imp_domain else { return };
        let domain = format!("@{}", fold(domain));
        let own = pattern.folded.split('@').next().unwrap_or_default().to_owned();
        if matches!(pattern.shape, Shape::Exact | Shape::Prefix) {
            self.by_index("directory_by_user", false);
            self.range("d.user_id", Shape::Prefix, &own);
        } else {
            self.by_scan(false);
        }
        self.sql.push(" AND ");
        // The domain is the operator's; quoted as the language wants it.
        let value = format!(
            "(substr(d.user_id, 1, instr(d.user_id || '@', '@') - 1) || '{}')",
            domain.replace('\'', "''")
        );
        self.fits(&value, pattern.shape, &pattern.folded);
    }
}

/// Writes whether a value fits a pattern, to the letter.
pub(super) fn fits(sql: &mut QueryBuilder<Sqlite>, value: &str, pattern: &str) {
    let (shape, text) = shape(pattern);
    fits_shape(sql, value, shape, text);
}

fn fits_shape(sql: &mut QueryBuilder<Sqlite>, value: &str, shape: Shape, text: &str) {
    let length = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
    let text = text.to_owned();
    match shape {
        Shape::Any => sql.push(value).push(" IS NOT NULL"),
        Shape::Exact => sql.push(value).push(" = ").push_bind(text),
        Shape::Infix => sql.push("instr(").push(value).push(", ").push_bind(text).push(") > 0"),
        Shape::Prefix | Shape::Suffix => {
            let from_end = shape == Shape::Suffix;
            sql.push("substr(").push(value).push(if from_end { ", -" } else { ", 1, " });
            sql.push(length).push(") = ").push_bind(text)
        }
    };
}

fn has_word(folded: &str) -> bool {
    folded.chars().count() >= 3
}

/// The three-character words of a text, quoted for a match.
fn words(folded: &str) -> Vec<String> {
    let chars: Vec<char> = folded.chars().collect();
    chars
        .windows(3)
        .map(|three| {
            let word: String = three.iter().collect();
            format!("\"{}\"", word.replace('"', "\"\""))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_stand_at_either_end() {
        for (pattern, expected) in [
            ("Smith", (Shape::Exact, "Smith")),
            ("Smi*", (Shape::Prefix, "Smi")),
            ("*ith", (Shape::Suffix, "ith")),
            ("*mit*", (Shape::Infix, "mit")),
            ("*", (Shape::Any, "")),
            ("**", (Shape::Any, "")),
            ("", (Shape::Exact, "")),
            ("a*b", (Shape::Exact, "a*b")),
            ("*a*b*", (Shape::Infix, "a*b")),
        ] {
            assert_eq!(shape(pattern), expected, "{pattern}");
        }
    }

    #[test]
    fn words_are_quoted() {
        assert_eq!(words("a\"bc"), ["\"a\"\"b\"", "\"\"\"bc\""]);
        assert!(words("ab").is_empty());
    }
}
