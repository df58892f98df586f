//! Which application a path belongs to.

use crate::deployment::{Content, Deployed, Deployments, Service};
use crate::files::StaticFiles;
use crate::{Application, BuildError, Finishes, Refusal};
use arc_swap::ArcSwap;
use axum::Router;
use openadp_settings::Store;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex, PoisonError};

/// What logs and metrics call applications that were installed: their own names are an operator's free text.
const INSTALLED: &str = "installed";

/// An application in the container.
#[derive(Debug)]
pub(crate) struct Hosted {
    /// What logs and metrics call it.
    pub(crate) label: &'static str,
    /// What operators call it.
    pub(crate) name: String,
    pub(crate) running: Arc<AtomicU32>,
}

/// One mount of one application.
#[derive(Debug, Clone)]
pub(crate) struct Mounted {
    pub(crate) application: Arc<Hosted>,
    pub(crate) router: Router,
    pub(crate) stopped: bool,
    /// Its own form of a refusal.
    pub(crate) refusal: Option<Refusal>,
    /// What of it goes on while new work is refused.
    pub(crate) finishes: Option<Finishes>,
    /// The folder of an installed archive.
    folder: Option<PathBuf>,
    segments: Vec<String>,
}

/// All mounts, most segments first.
#[derive(Debug, Default)]
pub(crate) struct Mounts(Vec<Mounted>);

fn segments(path: &str) -> Vec<String> {
    path.split('/').filter(|s| !s.is_empty()).map(str::to_ascii_lowercase).collect()
}

impl Mounts {
    /// Takes the mounts of all built applications.
    pub(crate) fn new(applications: Vec<Application>) -> Result<Self, BuildError> {
        let mut mounts: Vec<Mounted> = Vec::new();
        for built in applications {
            let hosted = |label: &'static str| {
                Arc::new(Hosted { label, name: label.to_owned(), running: Arc::default() })
            };
            let whole = hosted(built.name);
            for mount in built.mounts {
                let segments = segments(&mount.path);
                if segments.is_empty() {
                    return Err(BuildError::new(format!("{}: a mount path needs a segment", built.name)));
                }
                if mounts.iter().any(|other| other.segments == segments) {
                    return Err(BuildError::new(format!("{}: {} is mounted twice", built.name, mount.path)));
                }
                let application = match mount.application {
                    None => whole.clone(),
                    Some(name) => mounts
                        .iter()
                        .find(|other| other.application.name == name)
                        .map_or_else(|| hosted(name), |other| other.application.clone()),
                };
                mounts.push(Mounted {
                    application,
                    router: mount.router,
                    stopped: false,
                    refusal: mount.refusal,
                    finishes: mount.finishes,
                    folder: None,
                    segments,
                });
            }
        }
        mounts.sort_by_key(|mount| std::cmp::Reverse(mount.segments.len()));
        Ok(Self(mounts))
    }

    /// The mounts of what is deployed: of these the deployed ones, and the folders of files. What an earlier table holds
    /// is taken over from it.
    fn deployed(&self, deployed: &[Deployed], earlier: &Self) -> Self {
        let known = |mount: &Mounted| {
            deployed.iter().find(|one| {
                one.content == Content::BuiltIn && mount.application.name.eq_ignore_ascii_case(&one.name)
            })
        };
        let mut mounts: Vec<Mounted> = self
            .0
            .iter()
            .filter_map(|mount| match known(mount).map(|one| one.service) {
                None | Some(Service::Up) => Some(mount.clone()),
                Some(Service::Stopped) => Some(Mounted { stopped: true, ..mount.clone() }),
                Some(Service::Down) => None,
            })
            .collect();
        for one in deployed.iter().filter(|one| one.service != Service::Down) {
            if let Content::Files(folder) = &one.content {
                mounts.push(files(one, folder, earlier));
            }
        }
        // Stable: of two at one path, which the settings refuse, the first answers.
        mounts.sort_by_key(|mount| std::cmp::Reverse(mount.segments.len()));
        Self(mounts)
    }

    /// The mount of a path, and the path below it (always with a leading slash).
    pub(crate) fn find<'a>(&self, path: &'a str) -> Option<(&Mounted, &'a str)> {
        self.0.iter().find_map(|mount| below(&mount.segments, path).map(|rest| (mount, rest)))
    }
}

fn files(one: &Deployed, folder: &Path, earlier: &Mounts) -> Mounted {
    let segments = segments(&one.path);
    let known = earlier.0.iter().find(|mount| {
        mount.folder.as_deref() == Some(folder)
            && mount.application.name == one.name
            && mount.segments == segments
    });
    match known {
        Some(known) => Mounted { stopped: one.service == Service::Stopped, ..known.clone() },
        None => Mounted {
            application: Arc::new(Hosted {
                label: INSTALLED,
                name: one.name.clone(),
                running: Arc::default(),
            }),
            router: StaticFiles::new(folder).router(),
            stopped: one.service == Service::Stopped,
            refusal: None,
            finishes: None,
            folder: Some(folder.to_owned()),
            segments,
        },
    }
}

/// The mounts of now: everything that was built, or what the settings say is deployed.
pub(crate) struct Table {
    store: Arc<Store>,
    built: Mounts,
    deployments: Option<Deployments>,
    now: ArcSwap<(u64, Mounts)>,
    making: Mutex<()>,
}

impl Table {
    pub(crate) fn new(store: Arc<Store>, built: Mounts, deployments: Option<Deployments>) -> Self {
        let now = match &deployments {
            None => (0, Mounts(built.0.clone())),
            Some(read) => {
                let snapshot = store.current();
                (snapshot.revision(), built.deployed(&read(&snapshot), &Mounts::default()))
            }
        };
        Self { store, built, deployments, now: ArcSwap::from_pointee(now), making: Mutex::new(()) }
    }

    /// The mounts at the present revision of the settings.
    pub(crate) fn load(&self) -> Arc<(u64, Mounts)> {
        let held = self.now.load_full();
        let Some(read) = &self.deployments else { return held };
        if held.0 == self.store.current().revision() {
            return held;
        }
        let _one_at_a_time = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        let held = self.now.load_full();
        let snapshot = self.store.current();
        if held.0 == snapshot.revision() {
            return held;
        }
        let made = Arc::new((snapshot.revision(), self.built.deployed(&read(&snapshot), &held.1)));
        self.now.store(made.clone());
        made
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

    fn app(name: &'static str, paths: &[&str]) -> Application {
        Application { name, mounts: paths.iter().map(|path| Mount::new(*path, Router::new())).collect() }
    }

    fn mounts() -> Mounts {
        Mounts::new(vec![
            app("actions", &["/com.broadsoft.xsi-actions"]),
            app("events", &["/com.broadsoft.xsi-events", "/com.broadsoft.async/com.broadsoft.xsi-events"]),
        ])
        .unwrap()
    }

    fn find(mounts: &Mounts, path: &str) -> Option<(String, String)> {
        mounts.find(path).map(|(mount, rest)| (mount.application.name.clone(), rest.to_owned()))
    }

    #[test]
    fn case_is_ignored_and_segments_are_whole() {
        let found = |path| find(&mounts(), path);
        let at = |name: &str, rest: &str| Some((name.to_owned(), rest.to_owned()));
        assert_eq!(found("/com.broadsoft.xsi-actions/v2.0/x"), at("actions", "/v2.0/x"));
        assert_eq!(found("/Com.BroadSoft.XSI-Actions"), at("actions", "/"));
        assert_eq!(found("/com.broadsoft.async/com.broadsoft.XSI-events/v2.0"), at("events", "/v2.0"));
        assert_eq!(found("/com.broadsoft.xsi-events/"), at("events", "/"));
        assert_eq!(found("/com.broadsoft.xsi-actions-not"), None);
        assert_eq!(found("/com.broadsoft.async"), None);
        assert_eq!(found("*"), None);
        assert_eq!(found("/"), None);
    }

    #[test]
    fn a_path_is_mounted_once() {
        assert!(Mounts::new(vec![app("a", &["/A"]), app("a", &["/A"])]).is_err());
        assert!(Mounts::new(vec![app("a", &["/"])]).is_err());
    }

    #[test]
    fn a_mount_may_belong_to_an_application_of_its_own() {
        let named = Application {
            name: "Both",
            mounts: vec![
                Mount::new("/a", Router::new()).of("A"),
                Mount::new("/b", Router::new()).of("B"),
                Mount::new("/c/b", Router::new()).of("B"),
            ],
        };
        let mounts = Mounts::new(vec![named]).unwrap();
        let (b, _) = mounts.find("/b/x").unwrap();
        let (other, _) = mounts.find("/c/b").unwrap();
        assert_eq!(b.application.label, "B");
        assert!(Arc::ptr_eq(&b.application, &other.application), "one limit for both paths");
        assert_eq!(mounts.find("/a").unwrap().0.application.label, "A");
    }

    #[test]
    fn only_what_is_deployed_answers() {
        let built = mounts();
        let one = |name: &str, path: &str, service, content| Deployed {
            name: name.to_owned(),
            path: path.to_owned(),
            service,
            content,
        };
        let files = || Content::Files(PathBuf::from("/nowhere"));
        let deployed = [
            one("Events", "/com.broadsoft.xsi-events", Service::Stopped, Content::BuiltIn),
            one("Actions", "/com.broadsoft.xsi-actions", Service::Down, Content::BuiltIn),
            one("Web", "/callsettings", Service::Up, files()),
            one("Gone", "/gone", Service::Down, files()),
        ];
        let now = built.deployed(&deployed, &Mounts::default());
        assert_eq!(find(&now, "/com.broadsoft.xsi-actions/v2.0"), None);
        assert!(now.find("/com.broadsoft.async/com.broadsoft.xsi-events").unwrap().0.stopped);
        let (web, rest) = now.find("/CallSettings/a/b").unwrap();
        assert_eq!((web.application.label, rest), (INSTALLED, "/a/b"));

        assert_eq!(find(&now, "/gone"), None);

        let later = built.deployed(&deployed[1..], &now);
        assert!(!later.find("/com.broadsoft.xsi-events").unwrap().0.stopped, "unknown ones always answer");
        let (kept, _) = later.find("/callsettings").unwrap();
        assert!(Arc::ptr_eq(&kept.application, &web.application), "others do not notice");
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
