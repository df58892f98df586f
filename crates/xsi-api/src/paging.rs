//! Pages and searches of directories (xsi.md 3.5).

use crate::text::Query;
use openadp_appserver::{DirectoryQuery, SearchTerm};

/// What part of a list is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Page {
    /// 1-based index of the first entry.
    pub(crate) start: usize,
    /// Most entries.
    pub(crate) results: usize,
}

impl Page {
    /// Reads `start` and `results`; what is no number or zero counts as absent.
    pub(crate) fn of(query: &Query, default: usize, maximum: usize) -> Self {
        let number =
            |name| query.get(name).and_then(|text| text.trim().parse().ok()).filter(|number| *number > 0);
        Self {
            start: number("start").unwrap_or(1),
            results: number("results").unwrap_or(default.min(maximum)).min(maximum),
        }
    }
}

/// Fields that a directory can be searched by, as the port spells them.
const FIELDS: &[&str] = &[
    "firstName",
    "lastName",
    "name",
    "userId",
    "groupId",
    "number",
    "extension",
    "mobileNo",
    "department",
    "emailAddress",
    "title",
    "impId",
    "pager",
];
/// Other names of theirs that clients use.
const ALIASES: &[(&str, &str)] = &[("mobile", "mobileNo")];

/// The field of a name in any case.
fn field_of(name: &str) -> Option<&'static str> {
    let alias = ALIASES.iter().find(|(alias, _)| alias.eq_ignore_ascii_case(name));
    alias
        .map(|(_, field)| *field)
        .or_else(|| FIELDS.iter().find(|field| field.eq_ignore_ascii_case(name)).copied())
}

/// Most alternatives of one term.
const MAX_ALTERNATIVES: usize = 20;

/// Reads the search of a directory request; parameters that are no search field are ignored.
pub(crate) fn directory_query(query: &Query, page: Page) -> DirectoryQuery {
    let terms = query
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .filter_map(|(name, value)| Some(term(field_of(name)?, value)))
        .collect();
    DirectoryQuery {
        start: page.start,
        results: page.results,
        terms,
        any_term: query.flag("searchCriteriaModeOr").unwrap_or(false),
        sort: query.get("sortColumn").map(sort_column),
    }
}

/// The column to sort by; `/i` changes nothing, since what is sorted by on demand always ignores case.
fn sort_column(text: &str) -> String {
    let bare = text.strip_suffix("/i").or_else(|| text.strip_suffix("/I")).unwrap_or(text).trim();
    field_of(bare).map_or_else(|| bare.to_owned(), str::to_owned)
}

fn term(field: &str, value: &str) -> SearchTerm {
    let mut ignore_case = false;
    let patterns = value
        .split(',')
        .take(MAX_ALTERNATIVES)
        .map(|pattern| {
            let pattern = pattern.trim();
            match pattern.strip_suffix("/i").or_else(|| pattern.strip_suffix("/I")) {
                Some(bare) => {
                    ignore_case = true;
                    bare.to_owned()
                }
                None => pattern.to_owned(),
            }
        })
        .filter(|pattern| !pattern.is_empty())
        .collect();
    SearchTerm { field: field.to_owned(), patterns, ignore_case }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_have_defaults_and_bounds() {
        let page = |text| Page::of(&Query::parse(text), 50, 100);
        assert_eq!(page(""), Page { start: 1, results: 50 });
        assert_eq!(page("start=51&results=20"), Page { start: 51, results: 20 });
        assert_eq!(page("start=0&results=100000"), Page { start: 1, results: 100 });
        assert_eq!(page("start=-1&results=x"), Page { start: 1, results: 50 });
        assert_eq!(Page::of(&Query::default(), 500, 100).results, 100);
    }

    #[test]
    fn searches_carry_case_alternatives_and_mode() {
        let query = Query::parse("lastName=*smi*/i,Ng&firstname=Bo&format=json&searchCriteriaModeOr=True");
        let search = directory_query(&query, Page { start: 1, results: 5 });
        assert!(search.any_term);
        assert_eq!(search.terms.len(), 2);
        assert_eq!(search.terms[0].field, "lastName");
        assert_eq!(search.terms[0].patterns, ["*smi*", "Ng"]);
        assert!(search.terms[0].ignore_case);
        assert_eq!(search.terms[1].field, "firstName");
        assert!(!search.terms[1].ignore_case);
        assert_eq!(search.sort, None);
        let sort = |text: &str| {
            directory_query(&Query::parse(text), Page { start: 1, results: 5 }).sort.unwrap_or_default()
        };
        assert_eq!(sort("sortColumn=FIRSTNAME/i"), "firstName");
        assert_eq!(sort("sortColumn=mobile"), "mobileNo");
        assert_eq!(sort("sortColumn=shoe%20size"), "shoe size");
    }
}
