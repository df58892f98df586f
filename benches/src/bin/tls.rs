//! TLS handshakes per core-second of the server, beside nginx: the same certificates, suites and client (`openssl s_time`),
//! both on the same core, in turn.

use anyhow::{Context as _, Result, ensure};
use openadp_benches::{CLIENT_CORE, SERVER_CORE, median, pinned_lab, process, report, runs};
use openadp_suite::Lab;
use std::path::Path;
use std::process::{Child, Command};

/// One kind of handshake.
struct Case {
    name: &'static str,
    /// Ours and nginx's place, counted from the lab's first port.
    ports: [u16; 2],
    options: &'static [&'static str],
    /// What the ratio should be at least.
    goal: f64,
}

const RSA: &[&str] = &["-new", "-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"];
const P256: &[&str] = &["-new", "-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"];
const RESUMED: &[&str] = &["-reuse", "-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"];
const CASES: [Case; 5] = [
    Case { name: "full, RSA-2048, TLS 1.2", ports: [0, 20], options: RSA, goal: 1.05 },
    Case { name: "full, P-256, TLS 1.2", ports: [0, 20], options: P256, goal: 1.5 },
    Case { name: "full, P-256, TLS 1.3", ports: [0, 20], options: &["-new", "-tls1_3"], goal: 1.5 },
    Case { name: "full, mutual, P-256, TLS 1.2", ports: [22, 21], options: P256, goal: 1.3 },
    Case { name: "resumed, TLS 1.2", ports: [0, 20], options: RESUMED, goal: 1.0 },
];

fn main() -> Result<()> {
    let lab = pinned_lab()?;
    let base = lab.port_base();
    let folder = tempfile::tempdir()?;
    let certificates = lab.ca().parent().context("no folder")?;
    mutual_interface(&lab, certificates, base + 22)?;
    let mut nginx = nginx(folder.path(), certificates, base)?;
    let ours = process(&lab)?.id();
    for case in &CASES {
        let identity = (case.ports[0] != 0).then_some(certificates);
        let mut rates = [Vec::new(), Vec::new()];
        for _ in 0..runs() {
            for (index, server) in [ours, nginx.id()].into_iter().enumerate() {
                rates[index].push(rate(base + case.ports[index], case.options, identity, server)?);
            }
        }
        let [ours, reference] = rates.map(|rates| median(&rates));
        let ratio = ours / reference;
        let verdict = if ratio >= case.goal { "met" } else { "NOT met" };
        report(&format!(
            "tls, {}: {ours:.0} handshakes/core-second, nginx {reference:.0}, ratio {ratio:.2} (at least {:.2}): {verdict}",
            case.name, case.goal
        ));
    }
    nginx.kill()?;
    nginx.wait()?;
    Ok(())
}

/// An interface that wants client certificates, with the lab's own server certificates.
fn mutual_interface(lab: &Lab, certificates: &Path, port: u16) -> Result<()> {
    let folder = certificates.display();
    let mut commands =
        vec![format!("ADP_CLI/Interface/Http/HttpServer> add 127.0.0.1 {port} localhost true true")];
    for stem in ["server-rsa", "server-p256"] {
        commands.push(format!(
            "ADP_CLI/Interface/Http/HttpServer/SSLSettings/Certificates> sslUpdate 127.0.0.1 {port} \
             keyFile {folder}/{stem}.key certificateFile {folder}/{stem}.crt chainFile {folder}/ca.crt"
        ));
    }
    lab.administer(&commands.iter().map(String::as_str).collect::<Vec<_>>()).map(drop)
}

fn nginx(folder: &Path, certificates: &Path, base: u16) -> Result<Child> {
    let (folder, certificates) = (folder.display(), certificates.display());
    // The chain stands in the file, as ours presents it.
    for stem in ["server-rsa", "server-p256"] {
        let read = |name: String| std::fs::read_to_string(&name).context(name);
        let chain = read(format!("{certificates}/{stem}.crt"))? + &read(format!("{certificates}/ca.crt"))?;
        std::fs::write(format!("{folder}/{stem}.crt"), chain)?;
    }
    let both = format!(
        "ssl_certificate {folder}/server-rsa.crt; ssl_certificate_key {certificates}/server-rsa.key;\n\
         ssl_certificate {folder}/server-p256.crt; ssl_certificate_key {certificates}/server-p256.key;\n\
         ssl_protocols TLSv1.2 TLSv1.3; ssl_session_cache shared:all:10m; ssl_session_tickets on;"
    );
    let config = format!(
        "daemon off; master_process off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;\n\
         events {{ worker_connections 1024; }}\n\
         http {{ access_log off;\n\
         client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};\n\
         server {{ listen 127.0.0.1:{}; return 204; }}\n\
         server {{ listen 127.0.0.1:{} ssl; root {folder}; {both} }}\n\
         server {{ listen 127.0.0.1:{} ssl; root {folder}; {both} ssl_verify_client on; ssl_client_certificate {certificates}/ca.crt; }} }}\n",
        base + 19,
        base + 20,
        base + 21,
    );
    let path = format!("{folder}/nginx.conf");
    std::fs::write(&path, config)?;
    let child = Command::new("taskset")
        .args(["-c", SERVER_CORE, "nginx", "-c", &path])
        .spawn()
        .context("starting nginx")?;
    let ready = openadp_suite::Curl::new(Path::new(""))
        .args(["--retry", "20", "--retry-connrefused", "--retry-delay", "1"])
        .get(&format!("http://127.0.0.1:{}/", base + 19))?;
    ensure!(ready.status == 204, "nginx: {ready:?}");
    Ok(child)
}

/// Handshakes by `openssl s_time` in three seconds, per second of the server's processor time.
fn rate(port: u16, options: &[&str], identity: Option<&Path>, server: u32) -> Result<f64> {
    let mut client = Command::new("taskset");
    client
        .args(["-c", CLIENT_CORE, "openssl", "s_time", "-time", "3"])
        .args(["-connect", &format!("127.0.0.1:{port}")])
        .args(options);
    if let Some(certificates) = identity {
        client.arg("-cert").arg(certificates.join("cti-client.crt"));
        client.arg("-key").arg(certificates.join("cti-client.key"));
    }
    let before = processor_time(server)?;
    let output = client.output().context("running openssl s_time")?;
    let spent = processor_time(server)? - before;
    let text = String::from_utf8_lossy(&output.stdout);
    // "1234 connections in 3 real seconds, 0 bytes read per connection"
    let count: f64 = text
        .lines()
        .find_map(|line| {
            line.split_once(" connections in ").filter(|(_, rest)| rest.contains("real"))?.0.parse().ok()
        })
        .with_context(|| format!("no count: {text}{}", String::from_utf8_lossy(&output.stderr)))?;
    ensure!(output.status.success() && count > 0.0 && spent > 0.0, "no handshakes: {text}");
    Ok(count / spent)
}

/// Processor time that a process and all its threads have spent, in seconds.
fn processor_time(process: u32) -> Result<f64> {
    /// Linux counts in hundredths wherever this runs.
    const TICKS: f64 = 100.0;
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).context("the server is gone")?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let field =
        |index: usize| fields.get(index).and_then(|text| text.parse::<f64>().ok()).context("no figure");
    Ok((field(11)? + field(12)?) / TICKS)
}
