//! The nearest name to a mistyped one, for hints.

/// The candidate that is nearest to `word` without regard to case, if any is near at all.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Longer words are not mistyped names, and the work grows with the length.
    const MAX: usize = 80;
    if word.is_empty() || word.len() > MAX {
        return None;
    }
    let word = word.to_ascii_lowercase();
    let allowed = 1 + word.chars().count() / 4;
    candidates
        .into_iter()
        .filter(|candidate| candidate.len() <= MAX)
        .map(|candidate| (distance(&word, &candidate.to_ascii_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Letters to insert, drop, replace or swap with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut two_ago: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let mut best = (last[j] + usize::from(x != y)).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                best = best.min(two_ago[j - 1] + 1);
            }
            row.push(best);
        }
        two_ago = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        let names = ["tokenIssuer", "tokenDurationInHours", "enabled"];
        assert_eq!(nearest("tokenIsuser", names), Some("tokenIssuer"));
        assert_eq!(nearest("ENABLE", names), Some("enabled"));
        assert_eq!(nearest("port", names), None);
        assert_eq!(nearest("", names), None);
        assert_eq!(distance("abcd", "abdc"), 1);
    }
}
