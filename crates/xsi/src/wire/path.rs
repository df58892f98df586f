//! The path below a context.

/// What follows `/v2.0/`, still encoded; `None` for another version or none.
pub(crate) fn below_version(path: &str) -> Option<&str> {
    let rest = path.strip_prefix('/')?;
    let (version, rest) = rest.split_once('/').unwrap_or((rest, ""));
    version.eq_ignore_ascii_case("v2.0").then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_version_is_served() {
        assert_eq!(below_version("/v2.0/user/alice%40lab.example"), Some("user/alice%40lab.example"));
        assert_eq!(below_version("/V2.0/Versions"), Some("Versions"));
        assert_eq!(below_version("/v2.0"), Some(""));
        assert_eq!(below_version("/v1.0/x"), None);
        assert_eq!(below_version("/"), None);
    }
}
