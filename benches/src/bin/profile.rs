//! Profile requests a second over keep-alive TLS, beside nginx serving the same bytes, each on the same core.

use anyhow::{Context as _, Result, ensure};
use openadp_benches::{SERVER_CORE, basic, median, pinned_lab, report, runs, wrk};
use std::process::{Child, Command};

fn main() -> Result<()> {
    let lab = pinned_lab()?;
    let alice = lab.subscriber(0);
    let url = lab.user_url(&alice, "profile");
    let body = lab.curl(&alice).get(&url)?.expect_status(200)?.body;
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("profile.xml"), &body)?;
    let port = lab.port_base() + 20;
    let mut nginx = nginx(folder.path(), lab.ca().parent().context("no folder")?, port)?;
    let nginx_url = format!("https://127.0.0.1:{port}/profile.xml");
    ensure!(
        openadp_suite::Curl::new(lab.ca())
            .args(["--retry", "20", "--retry-connrefused", "--retry-delay", "1"])
            .get(&nginx_url)?
            .body
            == body
    );
    let (mut ours, mut reference) = (Vec::new(), Vec::new());
    for _ in 0..runs() {
        ours.push(wrk(&url, &[basic(&alice.user_id, &alice.password)], 32)?);
        reference.push(wrk(&nginx_url, &[], 32)?);
    }
    nginx.kill()?;
    nginx.wait()?;
    let (ours, reference) = (median(&ours), median(&reference));
    report(&format!(
        "profile: {ours:.0} requests/s, nginx {reference:.0} requests/s for the same {} bytes, ratio {:.2}",
        body.len(),
        ours / reference
    ));
    Ok(())
}

fn nginx(folder: &std::path::Path, certificates: &std::path::Path, port: u16) -> Result<Child> {
    let (folder, certificates) = (folder.display(), certificates.display());
    let config = format!(
        "daemon off; master_process off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;\n\
         events {{ worker_connections 1024; }}\n\
         http {{ access_log off; default_type application/xml; keepalive_requests 1000000000;\n\
         client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};\n\
         server {{ listen 127.0.0.1:{port} ssl; root {folder};\n\
         ssl_certificate {certificates}/server-rsa.crt; ssl_certificate_key {certificates}/server-rsa.key; }} }}\n"
    );
    let path = format!("{folder}/nginx.conf");
    std::fs::write(&path, config)?;
    Command::new("taskset").args(["-c", SERVER_CORE, "nginx", "-c", &path]).spawn().context("starting nginx")
}
