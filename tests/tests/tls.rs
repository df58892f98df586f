//! TLS as others meet it: what is offered is what the CLI says, certificates change under open connections, client
//! certificates count where they should. The clients are OpenSSL's, Python's, curl and sslyze.

#[path = "tls/certificates.rs"]
mod certificates;
#[path = "tls/clients.rs"]
mod clients;
#[path = "tls/levels.rs"]
mod levels;
#[path = "tls/outgoing.rs"]
mod outgoing;

use anyhow::{Context as _, Result, ensure};
use openadp_suite::Lab;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// `openssl s_client` against a port of this machine, trusting the lab's authority.
pub(crate) fn s_client(lab: &Lab, port: u16, arguments: &[&str]) -> Result<Output> {
    Command::new("openssl")
        .args(["s_client", "-connect", &format!("127.0.0.1:{port}"), "-CAfile"])
        .arg(lab.ca())
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .context("running openssl s_client")
}

/// What a refused command printed.
pub(crate) fn refused(lab: &Lab, command: &str) -> Result<String> {
    let output = lab.adpcli(&[command])?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.code() == Some(1), "{command}: {:?}: {printed}", output.status);
    Ok(printed + &String::from_utf8_lossy(&output.stderr))
}

/// An authority of OpenSSL's: it issues and it revokes.
pub(crate) struct Authority(tempfile::TempDir);

impl Authority {
    /// A new one with this common name.
    pub(crate) fn new(name: &str) -> Result<Self> {
        let this = Self(tempfile::tempdir()?);
        std::fs::write(this.path("index.txt"), "")?;
        std::fs::write(this.path("serial"), "1001\n")?;
        std::fs::write(this.path("number"), "01\n")?;
        std::fs::write(
            this.path("ca.cnf"),
            "[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\nserial=serial\ncrlnumber=number\nnew_certs_dir=.\n\
             default_md=sha256\npolicy=p\nunique_subject=no\ncopy_extensions=copy\ncertificate=ca.crt\n\
             private_key=ca.key\ndefault_crl_days=1\n[p]\ncommonName=supplied\n[client]\nextendedKeyUsage=clientAuth\n\
             [broadworks]\nextendedKeyUsage=clientAuth,1.3.6.1.4.1.6431.1.1.8.2.1.3\n\
             [server]\nextendedKeyUsage=serverAuth\n",
        )?;
        let subject = format!("/CN={name}");
        this.openssl(&[
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.crt", "-days",
            "30", "-subj", &subject,
        ])?;
        Ok(this)
    }

    /// A file of its folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn openssl(&self, arguments: &[&str]) -> Result<String> {
        let output = Command::new("openssl")
            .current_dir(self.0.path())
            .args(arguments)
            .stdin(Stdio::null())
            .output()?;
        ensure!(
            output.status.success(),
            "openssl {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Signs a request for so many days, as one of the kinds of `ca.cnf`.
    pub(crate) fn sign(&self, request: &Path, stem: &str, kind: &str, days: &str) -> Result<PathBuf> {
        let (request, certificate) = (request.display().to_string(), format!("{stem}.crt"));
        self.openssl(&[
            "ca",
            "-batch",
            "-config",
            "ca.cnf",
            "-in",
            &request,
            "-out",
            &certificate,
            "-notext",
            "-extensions",
            kind,
            "-days",
            days,
        ])?;
        Ok(self.path(&certificate))
    }

    /// Issues a certificate for a common name, which is also its only host name where it is a server's: certificate, key.
    pub(crate) fn issue(&self, name: &str, kind: &str, key: &str, days: &str) -> Result<(PathBuf, PathBuf)> {
        let stem = format!("{name}-{}", key.replace(':', ""));
        let (key_file, request) = (format!("{stem}.key"), format!("{stem}.csr"));
        let (subject, names) = (format!("/CN={name}"), format!("subjectAltName=DNS:{name}"));
        let mut arguments = vec!["req", "-newkey"];
        match key {
            "p256" => arguments.extend(["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]),
            other => arguments.push(other),
        }
        arguments.extend(["-nodes", "-keyout", &key_file, "-out", &request, "-subj", &subject]);
        if kind == "server" {
            arguments.extend(["-addext", &names]);
        }
        self.openssl(&arguments)?;
        Ok((self.sign(Path::new(&request), &stem, kind, days)?, self.path(&key_file)))
    }
}
