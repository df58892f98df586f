//! The commands over a store of its own, and hostile archives.

use super::archive::{Refused, name_and_version, unpack};
use super::{ArchiveLimits, ManagedObjects, deployments, folder, sweep};
use openadp_settings::{Author, Registry, Settings, Store};
use openadp_webcontainer::{Content, Index, Service};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;
use time::OffsetDateTime;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

struct Bed {
    folder: tempfile::TempDir,
    store: Arc<Store>,
}

impl Bed {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), Registry::new([crate::MODULE]).unwrap()).unwrap();
        Self { folder, store }
    }

    /// Runs a command as the CLI would; gives lines and remarks, or reason and hint.
    fn run(&self, line: &str) -> Result<(Vec<String>, Vec<String>), String> {
        let mut words = line.split_whitespace();
        let action = words.next().unwrap();
        let arguments: Vec<Option<String>> = words.map(|word| Some(word.to_owned())).collect();
        let (path, author) = (ManagedObjects::CONTEXT.full_path(), Author("test".to_owned()));
        self.store
            .run_action(&path, action, &arguments, &author, false, OffsetDateTime::UNIX_EPOCH)
            .map(|done| (done.lines, done.committed.remarks))
            .map_err(|problems| {
                let problem = &problems.0[0];
                format!("{} | {}", problem.reason, problem.hint.clone().unwrap_or_default())
            })
    }

    fn remarks(&self, line: &str) -> Vec<String> {
        self.run(line).unwrap().1
    }

    fn deployed(&self) -> Vec<String> {
        deployments(self.folder.path(), &self.store.current())
            .into_iter()
            .filter(|one| one.service != Service::Down)
            .map(|one| {
                let stopped = if one.service == Service::Stopped { " stopped" } else { "" };
                format!("{} {}{stopped}", one.name, one.path)
            })
            .collect()
    }

    fn archive(&self, name: &str, entries: &[(&str, &str)]) -> PathBuf {
        let path = self.folder.path().join(name);
        let mut writer = ZipWriter::new(std::fs::File::create(&path).unwrap());
        for (name, text) in entries {
            writer.start_file(*name, SimpleFileOptions::default()).unwrap();
            writer.write_all(text.as_bytes()).unwrap();
        }
        writer.finish().unwrap();
        path
    }
}

type Fill<'a> = Box<dyn Fn(&mut ZipWriter<std::fs::File>) + 'a>;

fn limits() -> ArchiveLimits {
    Store::in_memory(Registry::new([crate::MODULE]).unwrap()).get()
}

#[test]
fn a_fresh_installation_has_everything_deployed() {
    let bed = Bed::new();
    assert_eq!(
        bed.deployed(),
        [
            "AuthenticationService /authService",
            "Xsi-Actions /com.broadsoft.xsi-actions",
            "Xsi-Events /com.broadsoft.xsi-events",
            "BroadworksDms /dms",
            "NotificationPushServer /nps",
        ]
    );
    let build = format!("this build is {}", env!("CARGO_PKG_VERSION"));
    for version in ["22.0_1.1123 /authService", "22.0_1.1123/authService", "1", "1 /AUTHSERVICE/"] {
        let line = format!("activate application AuthService {version}");
        assert_eq!(bed.remarks(&line).join(";"), build, "{version}");
    }
    let (lines, remarks) = bed.run("deploy application /authService").unwrap();
    assert_eq!(
        (lines, remarks),
        (vec!["deploying /authService".to_owned()], vec!["it was deployed".to_owned()])
    );
    assert_eq!(bed.store.current().revision(), 0, "nothing of this changed anything");
}

#[test]
fn a_built_in_application_goes_and_comes_back() {
    let bed = Bed::new();
    assert!(
        bed.run("deactivate application /dms")
            .unwrap_err()
            .starts_with("BroadworksDms is deployed at /dms | undeploy")
    );
    bed.run("undeploy application /DMS").unwrap();
    assert_eq!(bed.deployed().len(), 4);
    bed.run("deactivate application /dms").unwrap();
    assert!(
        bed.run("deploy application /dms")
            .unwrap_err()
            .starts_with("no application is active at /dms | activate")
    );
    assert!(
        bed.run("activate application DMS 1 /other")
            .unwrap_err()
            .starts_with("BroadworksDms answers at /dms")
    );
    bed.run("activate application dms 24.0").unwrap();
    bed.run("deploy application /dms").unwrap();
    assert_eq!(bed.deployed().len(), 5);
    bed.run("stop application DMS").unwrap();
    assert!(bed.deployed().contains(&"BroadworksDms /dms stopped".to_owned()));
    assert_eq!(bed.remarks("stop application DMS"), ["it was stopped"]);
    bed.run("start application DMS").unwrap();
    assert!(bed.deployed().contains(&"BroadworksDms /dms".to_owned()));
    assert!(bed.run("start application Nobody").unwrap_err().starts_with("Nobody is not deployed"));
    assert!(bed.run("uninstall application DMS 1").unwrap_err().starts_with("BroadworksDms is built in"));
    assert_eq!(bed.remarks("set activeSoftwareVersion application DMS 1").len(), 1);
}

#[test]
fn the_life_of_an_archive() {
    let bed = Bed::new();
    let web = "<web-app><servlet-mapping><servlet-name>S</servlet-name><url-pattern>/s</url-pattern></servlet-mapping></web-app>";
    let entries = [
        ("index.html", "<p>one"),
        ("a/b.css", "p{}"),
        ("WEB-INF/web.xml", web),
        ("x.jsp", "<% %>"),
        ("META-INF/M", "m"),
    ];
    let file = bed.archive("BWCallSettingsWeb_1.7.5_1.war", &entries);
    let install = format!("install application {}", file.display());
    let (lines, remarks) = bed.run(&install).unwrap();
    assert_eq!(
        lines,
        [
            "BWCallSettingsWeb 1.7.5_1: 2 files",
            "Servlets are not run by this build: S",
            "JSP pages are not run by this build: 1"
        ]
    );
    assert!(remarks.is_empty());
    assert_eq!(bed.remarks(&install), ["BWCallSettingsWeb 1.7.5_1 is installed"]);
    for (line, reason) in [
        ("activate application BWCallSettingsWeb 1.7.5", "Mandatory parameter missing"),
        (
            "activate application BWCallSettingsWeb 1.7",
            "there is no application BWCallSettingsWeb 1.7 | installed versions: 1.7.5_1",
        ),
        ("activate application BWCallSettingsWeb 1.7.5 callsettings", "'callsettings' is no context path"),
        ("activate application BWCallSettingsWeb 1.7.5 /a/../b", "'/a/../b' is no context path"),
        (
            "activate application BWCallSettingsWeb 1.7.5 /authservice",
            "/authservice belongs to AuthenticationService",
        ),
        ("activate application Other 1 /x", "there is no application Other 1 | install application"),
        ("install application relative.war", "the file's whole path is needed"),
        ("install application /nonexistent/A_1.war", "cannot read /nonexistent/A_1.war"),
    ] {
        let refused = bed.run(line).unwrap_err();
        assert!(refused.starts_with(reason), "{line}: {refused}");
    }
    bed.run("activate application bwcallsettingsweb 1.7.5 /callsettings").unwrap();
    assert_eq!(bed.deployed().len(), 5);
    bed.run("deploy application /callsettings").unwrap();
    assert_eq!(bed.deployed()[5], "BWCallSettingsWeb /callsettings");

    let first = match &deployments(bed.folder.path(), &bed.store.current())[5].content {
        Content::Files(first) => first.clone(),
        Content::BuiltIn => panic!("built in"),
    };
    let index = Index::read(&first).unwrap();
    assert_eq!(index.entries.keys().collect::<Vec<_>>(), ["a/b.css", "index.html"]);
    assert_eq!(index.servlets, [("/s".to_owned(), "S".to_owned())]);
    assert_eq!(std::fs::read_to_string(Index::files(&first).join("a/b.css")).unwrap(), "p{}");

    let other = bed.archive("BWCallSettingsWeb_1.8_1.war", &[("index.html", "<p>two")]);
    bed.run(&format!("install application {}", other.display())).unwrap();
    let (lines, _) = bed.run("set activeSoftwareVersion application BWCallSettingsWeb 1.8").unwrap();
    assert_eq!(lines, ["/callsettings: BWCallSettingsWeb 1.7.5_1 -> 1.8_1"]);
    assert_eq!(bed.deployed().len(), 6);
    bed.run("uninstall application BWCallSettingsWeb 1.7.5").unwrap();
    assert!(
        bed.run("uninstall application BWCallSettingsWeb 1.8")
            .unwrap_err()
            .contains("is active at /callsettings")
    );
    sweep(bed.folder.path(), &bed.store.current());
    assert!(first.exists(), "a rollback may need it");
    let half = bed.folder.path().join("applications/.unpacking-1-x");
    std::fs::create_dir(&half).unwrap();
    let second = folder(bed.folder.path(), "BWCallSettingsWeb", "1.8_1");
    for left in [&first, &half, &second] {
        std::fs::File::open(left).unwrap().set_modified(UNIX_EPOCH).unwrap();
    }
    let third = bed.archive("Other_1.zip", &[("index.html", "three")]);
    bed.run(&format!("install application {}", third.display())).unwrap();
    assert!(!first.exists() && !half.exists(), "what no row speaks of");
    assert!(second.exists(), "what a row speaks of, however old");
}

#[test]
fn names_of_files() {
    let read = |name: &str| name_and_version(Path::new(name)).ok();
    let both = |name: &str, version: &str| Some((name.to_owned(), version.to_owned()));
    assert_eq!(read("/t/BWCallSettingsWeb_1.7.5_1.war"), both("BWCallSettingsWeb", "1.7.5_1"));
    assert_eq!(read("/t/My_App_24.0_1.944.BWAR"), both("My_App", "24.0_1.944"));
    for bad in [
        "/t/a.war",
        "/t/_1.war",
        "/t/a_1.tar",
        "/t/a b_1.war",
        "/t/.x_1.zip",
        "/t/a_1 (1).war",
        "/",
        "/t/\u{fc}_1.war",
    ] {
        assert_eq!(read(bad), None, "{bad}");
    }
}

#[test]
fn hostile_archives_leave_nothing_behind() {
    let bed = Bed::new();
    let small =
        ArchiveLimits { max_entries: 5, max_unpacked_mebibytes: 2, max_file_mebibytes: 1, ..limits() };
    let options = SimpleFileOptions::default();
    let zeros = vec![0_u8; 1024 * 1024];
    let file =
        |name: &'static str| -> Fill<'_> { Box::new(move |zip| zip.start_file(name, options).unwrap()) };
    let large = |count: usize, size: usize, method: CompressionMethod| -> Fill<'_> {
        let zeros = zeros.clone();
        Box::new(move |zip| {
            for number in 0..count {
                zip.start_file(format!("f{number}"), options.compression_method(method)).unwrap();
                zip.write_all(&zeros).unwrap();
                zip.write_all(&zeros[..size]).unwrap();
            }
        })
    };
    let cases: Vec<(&str, Fill<'_>, &str)> = vec![
        ("traversal", file("a/../../evil"), "the path leads elsewhere"),
        ("absolute", file("/etc/evil"), "not a relative path"),
        ("backslash", file("a\\..\\evil"), "not a relative path"),
        ("drive", file("c:evil"), "not a relative path"),
        ("empty segment", file("a//b"), "the path leads elsewhere"),
        ("control", file("a\nb"), "not a printable path"),
        (
            "deep",
            Box::new(move |zip| zip.start_file("a/".repeat(40) + "b", options).unwrap()),
            "nested too deep",
        ),
        (
            "link",
            Box::new(move |zip| zip.add_symlink("a", "/etc/passwd", options).unwrap()),
            "links and devices",
        ),
        (
            "file as folder",
            Box::new(move |zip| {
                zip.start_file("a", options).unwrap();
                zip.start_file("a/b", options).unwrap();
            }),
            "a file stands where it needs a folder",
        ),
        (
            "many",
            Box::new(move |zip| {
                for number in 0..6 {
                    zip.start_file(number.to_string(), options).unwrap();
                }
            }),
            "more than 5 entries",
        ),
        (
            "one large",
            large(1, 1, CompressionMethod::Stored),
            "larger than 2 MiB, or a file of it than 1 MiB",
        ),
        ("together large", large(3, 0, CompressionMethod::Stored), "larger than 2 MiB"),
        ("bomb", large(1, 1, CompressionMethod::Deflated), "more tightly than maxRatio"),
    ];
    for (number, (what, fill, reason)) in cases.iter().enumerate() {
        let path = bed.folder.path().join(format!("A_{number}.war"));
        let mut writer = ZipWriter::new(std::fs::File::create(&path).unwrap());
        fill(&mut writer);
        writer.finish().unwrap();
        let refused = unpack(bed.folder.path(), &path, ("A", "1"), &small).unwrap_err().to_string();
        assert!(refused.contains(reason), "{what}: {refused}");
    }
    let garbage = bed.folder.path().join("A_99.war");
    for bytes in [
        &b""[..],
        b"PK\x03\x04",
        b"PK\x05\x06",
        &[0xff; 4096],
        b"PK\x05\x06\0\0\0\0\x03\0\x03\0\xff\xff\xff\xff\xff\xff\xff\xff\0\0",
    ] {
        std::fs::write(&garbage, bytes).unwrap();
        assert!(matches!(
            unpack(bed.folder.path(), &garbage, ("A", "1"), &small),
            Err(Refused::NoArchive(_))
        ));
    }
    assert!(matches!(
        unpack(bed.folder.path(), Path::new("/dev/null"), ("A", "1"), &small),
        Err(Refused::NoArchive(_))
    ));
    let left: Vec<_> = std::fs::read_dir(bed.folder.path().join("applications")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn every_catalogued_application_has_its_row() {
    let names: Vec<&str> = super::CATALOGUE.iter().map(|known| known.name).collect();
    let rows: Vec<&str> = super::INITIAL.iter().map(|row| row[0]).collect();
    assert_eq!(names, rows);
}
