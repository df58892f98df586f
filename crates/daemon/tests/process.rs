//! The life of a process, seen from outside: a real one with one application (`examples/hello.rs`).
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use openadp_daemon::admin;
use openadp_listener::{HttpGeneralSettings, HttpServer};
use openadp_settings::{Author, Change, Edit, Registry, Settings, Store};
use openadp_tls::{HttpServerCipher, HttpServerProtocol};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Everything that should happen does so well within this.
const SOON: Duration = Duration::from_secs(30);

/// The example is built beside the tests.
fn program() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let path = tests.parent().unwrap().parent().unwrap().join("examples").join("hello");
    assert!(path.exists(), "{} is built with the tests", path.display());
    path
}

fn address() -> SocketAddr {
    let [_, _, a, b] = std::process::id().to_be_bytes();
    let ip = Ipv4Addr::new(127, 79, a, b.max(1));
    TcpListener::bind((ip, 0)).unwrap().local_addr().unwrap()
}

fn change(edits: Vec<Edit>) -> Change {
    Change { author: Author("test".to_owned()), comment: None, edits, force: false }
}

fn add<T: Settings>(values: &[(&str, &str)]) -> Edit {
    let values: BTreeMap<_, _> = values.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    Edit::Add { context: T::CONTEXT.full_path(), values }
}

struct Bed {
    directory: tempfile::TempDir,
    at: SocketAddr,
    metrics: SocketAddr,
    manager: UnixDatagram,
}

/// A process that is killed when a test fails.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ended_already = self.0.kill();
        let _ended_already = self.0.wait();
    }
}

impl Running {
    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }
    /// Exit code and log.
    fn end(mut self) -> (i32, String) {
        let began = Instant::now();
        let mut log = String::new();
        self.0.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        let status = self.0.wait().unwrap();
        assert!(began.elapsed() < SOON, "{log}");
        (status.code().unwrap_or_else(|| panic!("killed: {log}")), log)
    }
}

impl Bed {
    fn new(secure: bool) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (at, metrics) = (address(), address());
        let manager = UnixDatagram::bind(directory.path().join("notify")).unwrap();
        manager.set_read_timeout(Some(SOON)).unwrap();
        let bed = Self { directory, at, metrics, manager };
        let store = Store::open(
            &bed.data_dir(),
            Registry::new([openadp_tls::MODULE, openadp_listener::MODULE]).unwrap(),
        )
        .unwrap();
        let edits = vec![
            add::<HttpServer>(&[
                ("interfaceIp", &at.ip().to_string()),
                ("port", &at.port().to_string()),
                ("name", "xsp.lab.invalid"),
                ("secure", if secure { "true" } else { "false" }),
                ("clientAuthReq", "false"),
            ]),
            Edit::Set {
                context: HttpGeneralSettings::CONTEXT.full_path(),
                key: Vec::new(),
                values: BTreeMap::from([("drainTimeoutInSeconds".to_owned(), Some("1".to_owned()))]),
            },
        ];
        store.commit(&change(edits), time::OffsetDateTime::UNIX_EPOCH).unwrap();
        bed
    }
    fn data_dir(&self) -> PathBuf {
        self.directory.path().join("data")
    }
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(&self.data_dir(), arguments);
        command.env("NOTIFY_SOCKET", self.directory.path().join("notify"));
        command
    }
    /// Starts the process and waits until it says that it is ready.
    fn start(&self, arguments: &[&str]) -> Running {
        let metrics = self.metrics.to_string();
        let mut command = self.command(&["--metrics", &metrics]);
        let running = Running(command.args(arguments).spawn().unwrap());
        assert_eq!(self.told(), "READY=1");
        running
    }
    /// What the service manager is told next.
    fn told(&self) -> String {
        let mut buffer = [0; 64];
        let length = self.manager.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }
    fn open(&self, path: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.at).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
        stream
    }
    /// A request whose answer has begun.
    fn begun(&self, path: &str) -> TcpStream {
        let mut stream = self.open(path);
        let mut head = Vec::new();
        while !head.ends_with(b"begin\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        stream
    }
}

fn command(data_dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    command
        .arg("--data-dir")
        .arg(data_dir)
        .args(arguments)
        .env_remove("NOTIFY_SOCKET")
        .env_remove("ADP_DATA_DIR")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn output(data_dir: &Path, arguments: &[&str]) -> (i32, String) {
    let Output { status, stdout, stderr } = command(data_dir, arguments).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&stdout), "", "logs go to the standard error stream");
    (status.code().unwrap(), String::from_utf8_lossy(&stderr).into_owned())
}

fn curl(arguments: &[&str]) -> String {
    let output = Command::new("curl").args(["-s", "--max-time", "20"]).args(arguments).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_process_serves_is_configured_live_and_drains() {
    let bed = Bed::new(true);
    let running = bed.start(&["--log-format", "json", "--log-level", "trace"]);
    let (at, metrics) = (bed.at.to_string(), bed.metrics.to_string());
    assert_eq!(curl(&["-k", &format!("https://{at}/Hello/world")]), "hello\n");
    assert_eq!(curl(&[&format!("http://{metrics}/healthz")]), "alive\n");
    assert_eq!(curl(&[&format!("http://{metrics}/readyz")]), "ready\n");
    let planted = curl(&[
        "-k",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}",
        "-u",
        "planted-user:planted-password",
        "-H",
        "Cookie: JSESSIONID=planted-cookie",
        &format!("https://{at}/hello/me?key=planted-query"),
    ]);
    assert_eq!(planted, "401");
    let numbers = curl(&[&format!("http://{metrics}/metrics")]);
    assert!(numbers.contains(r#"http_requests_total{app="Hello",method="GET",status="4xx"} 1"#), "{numbers}");

    // The data directory and what lies in it are for this user alone.
    let mode = |path: PathBuf| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(bed.data_dir().join("run")) & 0o077, 0);

    // A suite that is set now shows in the next handshake, to a client that is not ours.
    let suite = |bed: &Bed| {
        let at = bed.at.to_string();
        let output = Command::new("openssl")
            .args(["s_client", "-connect", &at])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = text.lines().find(|line| line.contains("Cipher is")).unwrap_or_else(|| panic!("{text}"));
        line.rsplit(' ').next().unwrap().to_owned()
    };
    assert!(suite(&bed).starts_with("TLS_"));
    let mut clients = admin::discover(&bed.data_dir());
    let (ip, port) = (bed.at.ip().to_string(), bed.at.port().to_string());
    let interface = |name: &'static str, value: &'static str| {
        [("interfaceIp", ip.clone()), ("port", port.clone()), (name, value.to_owned())]
    };
    let edit = |context: &str, values: [(&str, String); 3]| Edit::Add {
        context: context.to_owned(),
        values: values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
    };
    let edits = vec![
        edit(&HttpServerProtocol::CONTEXT.full_path(), interface("protocol", "TLSv1.2")),
        edit(
            &HttpServerCipher::CONTEXT.full_path(),
            interface("cipher", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"),
        ),
    ];
    let done = clients[0].commit(&change(edits)).unwrap();
    assert_eq!(suite(&bed), "ECDHE-RSA-AES256-GCM-SHA384");
    let status = clients[0].status(done.revision).unwrap();
    assert_eq!(status.interfaces[0].not_listening, None);
    drop(clients);

    running.signal(Signal::TERM);
    assert_eq!(bed.told(), "STOPPING=1");
    let (code, log) = running.end();
    assert_eq!(code, 0, "{log}");
    assert!(log.lines().all(|line| line.starts_with('{')), "{log}");
    assert!(log.contains(r#""path":"/hello/me""#), "{log}");
    assert!(!log.contains("planted"), "{log}");
}

#[test]
fn a_drain_finishes_what_is_under_way() {
    let bed = Bed::new(false);
    let running = bed.start(&[]);
    let mut polite = bed.begun("/hello/polite");
    running.signal(Signal::INT);
    let mut rest = String::new();
    polite.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("end\n"), "{rest}");
    assert_eq!(running.end().0, 0);
}

#[test]
fn what_does_not_finish_is_aborted_and_the_exit_code_says_so() {
    let bed = Bed::new(false);
    let running = bed.start(&[]);
    let _stuck = bed.begun("/hello/stuck");
    running.signal(Signal::TERM);
    let (code, log) = running.end();
    assert_eq!(code, 75, "{log}");
}

#[test]
fn a_second_signal_ends_at_once() {
    let bed = Bed::new(false);
    let mut clients = {
        let running = bed.start(&[]);
        let clients = admin::discover(&bed.data_dir());
        drop(running);
        clients
    };
    clients.clear();
    let store =
        Store::open(&bed.data_dir(), Registry::new([openadp_tls::MODULE, openadp_listener::MODULE]).unwrap())
            .unwrap();
    let long = Edit::Set {
        context: HttpGeneralSettings::CONTEXT.full_path(),
        key: Vec::new(),
        values: BTreeMap::from([("drainTimeoutInSeconds".to_owned(), Some("600".to_owned()))]),
    };
    store.commit(&change(vec![long]), time::OffsetDateTime::UNIX_EPOCH).unwrap();
    let running = bed.start(&[]);
    let _stuck = bed.begun("/hello/stuck");
    // Changes nothing: every setting applies while the process runs.
    running.signal(Signal::HUP);
    running.signal(Signal::TERM);
    assert_eq!(bed.told(), "STOPPING=1");
    running.signal(Signal::TERM);
    let (code, log) = running.end();
    assert_eq!(code, 75, "{log}");
}

#[test]
fn a_process_ends_with_its_parent() {
    let bed = Bed::new(false);
    let mut command = bed.command(&["--exit-with-parent"]);
    let mut running = Running(command.stdin(Stdio::piped()).spawn().unwrap());
    assert_eq!(bed.told(), "READY=1");
    drop(running.0.stdin.take());
    assert_eq!(running.end().0, 0);
}

#[test]
fn only_the_interface_of_the_flag_is_served() {
    let bed = Bed::new(false);
    let other = address().to_string();
    let running = bed.start(&["--interface", &other]);
    assert!(TcpStream::connect(bed.at).is_err());
    running.signal(Signal::TERM);
    assert_eq!(running.end().0, 0);
}

#[test]
fn exit_codes_tell_what_is_wrong() {
    let bed = Bed::new(false);
    let data_dir = bed.data_dir();
    let (code, log) = output(&data_dir, &["--check-config"]);
    assert_eq!(code, 0, "{log}");
    assert_eq!(output(&data_dir, &["--nonsense"]).0, 64);
    assert_eq!(output(&data_dir, &["--interface", "nowhere"]).0, 64);

    let taken = TcpListener::bind(bed.metrics).unwrap();
    let (code, log) = output(&data_dir, &["--metrics", &bed.metrics.to_string()]);
    assert_eq!(code, 69, "{log}");
    drop(taken);

    let journal = data_dir.join("settings").join("revisions.jsonl");
    let good = std::fs::read_to_string(&journal).unwrap();
    std::fs::write(&journal, good.replacen("drainTimeout", "drownTimeout", 1) + &good).unwrap();
    for arguments in [&["--check-config"][..], &[]] {
        let (code, log) = output(&data_dir, arguments);
        assert_eq!(code, 78, "{log}");
        assert!(log.contains("cannot open the settings"), "{log}");
    }
    let file = bed.directory.path().join("file");
    std::fs::write(&file, "no directory").unwrap();
    assert_eq!(output(&file, &["--check-config"]).0, 78);
}
