//! Which application a path belongs to.

use crate::{Application, BuildError};
use axum::Router;

/// One mount of one application.
#[derive(Debug)]
pub(crate) struct Mounted {
    /// Index into the applications.
    pub(crate) application: usize,
    pub(crate) router: Router,
    segments: Vec<String>,
}

/// All mounts, most segments first.
#[derive(Debug)]
pub(crate) struct Mounts(Vec<Mounted>);

impl Mounts {
    /// Takes the mounts of all applications.
    pub(crate) fn new(applications: Vec<Application>) -> Result<Self, BuildError> {
        let mut mounts: Vec<Mounted> = Vec::new();
        for (application, built) in applications.into_iter().enumerate() {
            for mount in built.mounts {
                let segments: Vec<String> =
                    mount.path.split('/').filter(|s| !s.is_empty()).map(str::to_ascii_lowercase).collect();
                if segments.is_empty() {
                    return Err(BuildError::new(format!("{}: a mount path needs a segment", built.name)));
                }
                if mounts.iter().any(|other| other.segments == segments) {
                    return Err(BuildError::new(format!("{}: {} is mounted twice", built.name, mount.path)));
                }
                mounts.push(Mounted { application, router: mount.router, segments });
            }
        }
        mounts.sort_by_key(|mount| std::cmp::Reverse(mount.segments.len()));
        Ok(Self(mounts))
    }

    /// The mount of a path, and the path below it (always with a leading slash).
    pub(crate) fn find<'a>(&self, path: &'a str) -> Option<(&Mounted, &'a str)> {
        self.0.iter().find_map(|mount| below(&mount.segments, path).map(|rest| (mount, rest)))
    }
}

/// What is left of a path below the segments, compared without regard to ASCII case.
fn below<'a>(segments: &[String], path: &'a str) -> Option<&'a str> {
    let mut rest = path;
    for segment in segments {
        rest = rest.strip_prefix('/')?;
        let end = rest.find('/').unwrap_or(rest.len());
        if !rest.get(..end)?.eq_ignore_ascii_case(segment) {
            return None;
        }
        rest = rest.get(end..)?;
    }
    Some(if rest.is_empty() { "/" } else { rest })
}

/// Whether a path walks about with dot segments, plain or encoded; no client of ours does, only attacks do.
pub(crate) fn has_dot_segment(path: &str) -> bool {
    path.split('/').any(|segment| {
        let plain = segment.replace("%2e", ".").replace("%2E", ".");
        plain == "." || plain == ".."
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Mount;

    fn mounts() -> Mounts {
        let app = |name, paths: &[&str]| Application {
            name,
            mounts: paths.iter().map(|path| Mount::new(*path, Router::new())).collect(),
        };
        Mounts::new(vec![
            app("actions", &["/com.broadsoft.xsi-actions"]),
            app("events", &["/com.broadsoft.xsi-events", "/com.broadsoft.async/com.broadsoft.xsi-events"]),
        ])
        .unwrap()
    }

    fn find(path: &str) -> Option<(usize, String)> {
        mounts().find(path).map(|(mount, rest)| (mount.application, rest.to_owned()))
    }

    #[test]
    fn case_is_ignored_and_segments_are_whole() {
        assert_eq!(find("/com.broadsoft.xsi-actions/v2.0/x"), Some((0, "/v2.0/x".to_owned())));
        assert_eq!(find("/Com.BroadSoft.XSI-Actions"), Some((0, "/".to_owned())));
        assert_eq!(find("/com.broadsoft.async/com.broadsoft.XSI-events/v2.0"), Some((1, "/v2.0".to_owned())));
        assert_eq!(find("/com.broadsoft.xsi-events/"), Some((1, "/".to_owned())));
        assert_eq!(find("/com.broadsoft.xsi-actions-not"), None);
        assert_eq!(find("/com.broadsoft.async"), None);
        assert_eq!(find("*"), None);
        assert_eq!(find("/"), None);
    }

    #[test]
    fn a_path_is_mounted_once() {
        let app = || Application { name: "a", mounts: vec![Mount::new("/A", Router::new())] };
        assert!(Mounts::new(vec![app(), app()]).is_err());
        assert!(
            Mounts::new(vec![Application { name: "a", mounts: vec![Mount::new("/", Router::new())] }])
                .is_err()
        );
    }

    #[test]
    fn dot_segments_are_found() {
        for path in ["/dms/../x", "/dms/%2e%2E/x", "/./x", "/x/.%2e"] {
            assert!(has_dot_segment(path), "{path}");
        }
        for path in ["/dms/..x", "/v2.0/user/a.b", "/x...", "/"] {
            assert!(!has_dot_segment(path), "{path}");
        }
    }
}
