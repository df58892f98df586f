//! Names of releases: those of this suite, and how those of the product that operators know look.

use std::cmp::Ordering;
use std::fmt::{self, Display};

/// A release by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Release {
    /// Of this suite: three numbers, 0.2.0.
    Own([u32; 3]),
    /// In the form of another product: 24.0_1.944, 2022.11_1.273.
    Other(String),
}

/// How a release stands to this build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Relation {
    Newer,
    Same,
    Older,
    /// Of another product.
    Other,
}

fn numbers(text: &str) -> Option<Vec<u32>> {
    text.split('.').map(|word| word.parse().ok()).collect()
}

impl Release {
    /// Reads a name, with or without `ADP_Rel_` before it.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        let word = word.rsplit_once("Rel_").map_or(word, |(_, version)| version);
        if let Some(numbers) = numbers(word) {
            return <[u32; 3]>::try_from(numbers).ok().map(Self::Own);
        }
        let (release, build) = word.split_once('_')?;
        let is_form = |text: &str| numbers(text).is_some_and(|numbers| numbers.len() == 2);
        (is_form(release) && is_form(build)).then(|| Self::Other(word.to_owned()))
    }

    /// How it stands to this build.
    pub(crate) fn relation(&self) -> Relation {
        let own = numbers(env!("CARGO_PKG_VERSION")).unwrap_or_default();
        match self {
            Self::Other(_) => Relation::Other,
            Self::Own(numbers) => match numbers.as_slice().cmp(&own) {
                Ordering::Greater => Relation::Newer,
                Ordering::Equal => Relation::Same,
                Ordering::Less => Relation::Older,
            },
        }
    }
}

impl Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own([major, minor, patch]) => write!(f, "{major}.{minor}.{patch}"),
            Self::Other(name) => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart() {
        let own = env!("CARGO_PKG_VERSION");
        for (word, relation) in [
            (own, Relation::Same),
            (&format!("ADP_Rel_{own}"), Relation::Same),
            ("999.0.0", Relation::Newer),
            ("0.0.0", Relation::Older),
            ("24.0_1.944", Relation::Other),
            ("ADP_Rel_2022.11_1.273", Relation::Other),
        ] {
            assert_eq!(Release::parse(word).map(|release| release.relation()), Some(relation), "{word}");
        }
        for bad in ["", "newest", "1.2", "1.2.3.4", "1.2.x", "24_1", "Rel_", "1.2.99999999999", "24.0_1.9_4"]
        {
            assert_eq!(Release::parse(bad), None, "{bad}");
        }
    }
}
