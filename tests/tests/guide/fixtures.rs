//! The files that the guide's commands name, made with openssl and Python.

use anyhow::{Context as _, Result, ensure};
use openadp_suite::repository;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A folder with the files, and an address for the interfaces.
pub(crate) struct Fixtures {
    folder: tempfile::TempDir,
    /// A loopback address that no other run uses.
    pub(crate) address: String,
}

/// The project's own copy of what came with the guide.
pub(crate) fn data(name: &str) -> Result<String> {
    let path = repository().join("tests/guide").join(name);
    std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
}

impl Fixtures {
    pub(crate) fn make(data_dir: &Path) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let [high, low] = u16::try_from(std::process::id() % 65_000)?.to_be_bytes();
        let this = Self { folder, address: format!("127.9.{high}.{}", low.max(2)) };
        this.certificates()?;
        let account = serde_json::json!({
            "type": "service_account",
            "project_id": "my_project",
            "private_key_id": "1",
            "private_key": std::fs::read_to_string(this.path("server.key"))?,
            "client_email": "push@my_project.iam.gserviceaccount.com",
            "token_uri": "https://oauth2.googleapis.com/token",
        });
        std::fs::write(this.path("my_project.json"), account.to_string())?;
        let war = "import sys, zipfile\n\
                   with zipfile.ZipFile(sys.argv[1], 'w') as war:\n    \
                   war.writestr('index.html', '<html><body>Call settings</body></html>\\n')\n";
        done(Command::new("python3").args(["-c", war]).arg(this.path("BWCallSettingsWeb_1.7.5_1.war")))?;
        // The exported keys turn up here as soon as they are there.
        std::os::unix::fs::symlink(data_dir.join("tmp/authService.keys"), this.path("authService.keys"))?;
        Ok(this)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A command with what stands for {IP} and {TMP}.
    pub(crate) fn substitute(&self, text: &str) -> String {
        text.replace("{IP}", &self.address).replace("{TMP}", &self.folder.path().to_string_lossy())
    }

    fn certificates(&self) -> Result<()> {
        let root = [
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "30",
            "-subj",
            "/CN=Internal Private Root",
        ];
        self.openssl(&root, &[("-keyout", "root.key"), ("-out", "root2023.txt")])?;
        let authority = ["-days", "30", "-CAcreateserial", "-extfile"];
        self.signed(
            "issuing",
            "Internal Private TLS SubCA",
            "root2023.txt",
            "root.key",
            "issuing2023.txt",
            "basicConstraints=critical,CA:true\nkeyUsage=keyCertSign,cRLSign\n",
            &authority,
        )?;
        self.signed(
            "server",
            "xsp01.collab.example.net",
            "issuing2023.txt",
            "issuing.key",
            "server.crt",
            "subjectAltName=DNS:xsp01.collab.example.net\nextendedKeyUsage=serverAuth\n",
            &authority,
        )?;
        std::fs::copy(self.path("issuing2023.txt"), self.path("chain.crt"))?;
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "one call of openssl")]
    fn signed(
        &self,
        name: &str,
        common_name: &str,
        issuer: &str,
        issuer_key: &str,
        out: &str,
        extensions: &str,
        options: &[&str],
    ) -> Result<()> {
        let (key, request, extension) = (format!("{name}.key"), format!("{name}.csr"), format!("{name}.ext"));
        std::fs::write(self.path(&extension), extensions)?;
        let subject = format!("/CN={common_name}");
        self.openssl(
            &["req", "-newkey", "rsa:2048", "-nodes", "-subj", &subject],
            &[("-keyout", &key), ("-out", &request)],
        )?;
        let mut arguments = vec!["x509", "-req"];
        let extension = self.path(&extension);
        arguments.extend(options);
        let extension = extension.to_string_lossy();
        arguments.push(&extension);
        self.openssl(&arguments, &[("-in", &request), ("-CA", issuer), ("-CAkey", issuer_key), ("-out", out)])
    }

    fn openssl(&self, arguments: &[&str], files: &[(&str, &str)]) -> Result<()> {
        let mut command = Command::new("openssl");
        command.args(arguments);
        for (option, file) in files {
            command.arg(option).arg(self.path(file));
        }
        done(&mut command)
    }
}

fn done(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("running {command:?}"))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
