//! The commands of the certificates' contexts. cli.md 6.3

use super::requests::{self, Subject};
use super::{Place, certificate_lines, configured_at, generated, identity_edit};
use crate::authority::{KeyType, create_private_dir, write_atomically};
use crate::material;
use crate::pem::{self, PemError};
use openadp_settings::{
    Action, ActionContext, ActionOutput, Edit, Kind, Parameter, Problem, Problems, Secret,
};
use std::fs;
use std::path::PathBuf;

/// The folder that guides name; it means the folder `tmp` of the data directory.
const GUIDE_FOLDER: &str = "/var/broadworks/tmp/";
/// Fewest characters of a passphrase that protects an exported key.
const MIN_PASSPHRASE: usize = 8;

const ADDRESS: Parameter =
    Parameter::new("interfaceIp", Kind::IpAddress).mandatory().help("Address of the interface.");
const PORT: Parameter =
    Parameter::new("port", Kind::integer(1, 65535)).mandatory().help("Port of the interface.");
const ALIAS: Parameter = Parameter::new("alias", Kind::Host)
    .mandatory()
    .help("Further name of the interface, as HttpAlias has it.");
const KEY_FILE: Parameter = Parameter::new("keyFile", Kind::File).help(
    "File with the private key: PKCS#8, PKCS#1 or SEC 1, PEM or DER, encrypted or not, or PKCS#12 with all the rest. \
     Without it the key that sslRequest made is used.",
);
const CERTIFICATE_FILE: Parameter = Parameter::new("certificateFile", Kind::File).help(
    "File with the certificate, PEM or DER; its chain may follow in it. Needed unless keyFile holds it too.",
);
const CHAIN_FILE: Parameter =
    Parameter::new("chainFile", Kind::File).help("File with the certificates above it, PEM or DER.");
const PASSWORD: Parameter =
    Parameter::new("password", Kind::secret(1024)).help("Password of an encrypted key or of PKCS#12.");
const COMMON_NAME: Parameter = Parameter::new("commonName", Kind::text(1, 64))
    .mandatory()
    .help("Common name of the subject; a host name also becomes an alternative name.");
const KEY_KIND: Parameter = Parameter::new("keyType", Kind::Choice(&requests::KEY_KINDS))
    .default("RSA-2048")
    .help("Kind of the new key.");
const NAMES: Parameter = Parameter::new("names", Kind::text(1, 4096))
    .help("Further host names and addresses, separated by commas.");
const ORGANIZATION: Parameter = Parameter::new("organization", Kind::text(1, 64)).help("Organization.");
const UNIT: Parameter =
    Parameter::new("organizationalUnit", Kind::text(1, 64)).help("Part of the organization.");
const LOCALITY: Parameter = Parameter::new("locality", Kind::text(1, 128)).help("Town.");
const STATE: Parameter = Parameter::new("state", Kind::text(1, 128)).help("State or province.");
const COUNTRY: Parameter = Parameter::new("country", Kind::text(2, 2)).help("Country, two letters.");
const FILE: Parameter = Parameter::new("file", Kind::text(1, 255))
    .mandatory()
    .help("Name of the file below the folder tmp of the data directory.");
const OF_TYPE: Parameter = Parameter::new("keyType", Kind::Choice(&KeyType::NAMES))
    .help("Which of the interface's certificates; needed where it has several.");
const INCLUDE_KEY: Parameter = Parameter::new("includeKey", Kind::Boolean)
    .default("false")
    .help("Whether the private key goes into the file too, encrypted under the passphrase.");
const PASSPHRASE: Parameter = Parameter::new("passphrase", Kind::secret(1024))
    .help("Passphrase of the exported key, 8 characters or more.");

macro_rules! actions {
    ($($place:expr),+) => {
        &[
            Action {
                name: "sslUpdate",
                help: "Checks that key, certificate and chain belong together and presents them from the next handshake \
                       on, in place of the certificate of the same key type.",
                arguments: &[$($place,)+ KEY_FILE, CERTIFICATE_FILE, CHAIN_FILE, PASSWORD],
                run: ssl_update,
            },
            Action {
                name: "sslRequest",
                help: "Makes a key and a certificate request for an authority to sign; the key waits for sslUpdate.",
                arguments: &[
                    $($place,)+ COMMON_NAME, KEY_KIND, NAMES, ORGANIZATION, UNIT, LOCALITY, STATE, COUNTRY,
                ],
                run: ssl_request,
            },
            Action {
                name: "sslShow",
                help: "Shows the certificates of the interface and the requests that wait.",
                arguments: &[$($place,)+],
                run: ssl_show,
            },
            Action {
                name: "sslSelfSigned",
                help: "Drops the configured certificates and makes new self-signed ones.",
                arguments: &[$($place,)+],
                run: ssl_self_signed,
            },
            Action {
                name: "sslExport",
                help: "Writes certificate and chain to a file, PEM; with includeKey and a passphrase the key too.",
                arguments: &[$($place,)+ FILE, OF_TYPE, INCLUDE_KEY, PASSPHRASE],
                run: ssl_export,
            },
        ]
    };
}

pub(super) const HTTP: &[Action] = actions!(ADDRESS, PORT);
pub(super) const CTI: &[Action] = actions!(ADDRESS);
pub(super) const HTTP_ALIAS: &[Action] = actions!(ADDRESS, ALIAS);

/// The place that the first arguments name, and the arguments behind them.
fn place<'a>(
    context: &ActionContext<'_>,
    arguments: &'a [Option<String>],
) -> Result<(Place, Vec<Option<&'a str>>), Problems> {
    let place = Place::from_words(context.context, arguments).map_err(|(parameter, reason)| {
        Problems::from(Problem::new(context.context.full_path(), reason).parameter(parameter))
    })?;
    let used = 1 + usize::from(place.port.is_some() || place.alias.is_some());
    let rest =
        arguments.iter().skip(used).map(|word| word.as_deref().filter(|text| !text.is_empty())).collect();
    Ok((place, rest))
}

fn ssl_update(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Result<ActionOutput, Problems> {
    let path = context.context.full_path();
    let (place, words) = place(context, arguments)?;
    let word = |index: usize| words.get(index).copied().flatten();
    let (key_file, certificate_file, chain_file, password) = (word(0), word(1), word(2), word(3));
    let now = context.now.unix_timestamp();
    let refuse = |parameter: &'static str| {
        let path = path.clone();
        move |error: PemError| {
            let hint = error.hint();
            let problem = Problem::new(path, error.to_string()).parameter(parameter);
            Problems::from(match hint {
                Some(hint) => problem.hint(hint),
                None => problem,
            })
        }
    };
    let mut first = match key_file {
        Some(text) => material::read(text, password).map_err(refuse("keyFile"))?,
        None => material::Material::default(),
    };
    if let Some(text) = certificate_file {
        let found = material::read(text, password).map_err(refuse("certificateFile"))?;
        if found.certificates.is_empty() {
            return Err(refuse("certificateFile")(PemError::NoCertificate));
        }
        first.certificates.splice(0..0, found.certificates);
    }
    if let Some(text) = chain_file {
        let found = material::read(text, password).map_err(refuse("chainFile"))?;
        if found.certificates.is_empty() {
            return Err(refuse("chainFile")(PemError::NoCertificate));
        }
        first.certificates.extend(found.certificates);
    }
    if first.certificates.is_empty() {
        return Err(Problem::new(path, "is needed").parameter("certificateFile").into());
    }
    let mut edits = Vec::new();
    let identity = match (first.key, key_file) {
        (Some(key), _) => pem::identity(key, first.certificates, now).map_err(refuse("certificateFile"))?,
        (None, Some(_)) => return Err(refuse("keyFile")(PemError::NoKey)),
        (None, None) => {
            // The key of a request, if one of them is the certificate's.
            let waiting = requests::waiting(context.snapshot, &place);
            let mut found = None;
            for request in &waiting {
                let key = pem::private_key(request.key.expose()).map_err(refuse("certificateFile"))?;
                match pem::identity(key, first.certificates.clone(), now) {
                    Ok(identity) => {
                        edits.push(requests::used_up(request));
                        found = Some(identity);
                        break;
                    }
                    Err(PemError::Mismatch) => {}
                    Err(error) => return Err(refuse("certificateFile")(error)),
                }
            }
            found.ok_or_else(|| {
                Problem::new(path.clone(), "no key that waits belongs to this certificate")
                    .parameter("keyFile")
                    .hint("give keyFile, or make a key with sslRequest first")
            })?
        }
    };
    let lines = identity.ends_at().into_iter().collect();
    edits.push(identity_edit(context.snapshot, &place, &identity).map_err(refuse("keyFile"))?);
    let remarks = place.nobody(context.snapshot).into_iter().collect();
    Ok(ActionOutput { lines, edits, remarks, ..ActionOutput::default() })
}

fn ssl_request(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Result<ActionOutput, Problems> {
    let (place, words) = place(context, arguments)?;
    let word = |index: usize| words.get(index).copied().flatten();
    let common_name = word(0)
        .ok_or_else(|| Problem::new(context.context.full_path(), "is needed").parameter("commonName"))?;
    let subject = Subject {
        common_name,
        names: word(2),
        organization: word(3),
        unit: word(4),
        locality: word(5),
        state: word(6),
        country: word(7),
    };
    requests::make(context, &place, word(1).unwrap_or("RSA-2048"), &subject)
}

fn ssl_show(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Result<ActionOutput, Problems> {
    let (place, _) = place(context, arguments)?;
    let mut lines = Vec::new();
    for (key_type, pair) in configured_at(context.snapshot, &place) {
        lines.push(format!("configured ({key_type}):"));
        if let Ok(list) = pem::certificates(&pair.chain) {
            certificate_lines(&list, &mut lines);
        }
    }
    for key_type in KeyType::GENERATED {
        let (certificate, _) = generated::paths(context.data_dir, &place, key_type);
        if let Ok(list) = fs::read_to_string(certificate)
            .map_err(drop)
            .and_then(|text| pem::certificates(&text).map_err(drop))
        {
            lines.push(format!("generated ({}):", key_type.name()));
            certificate_lines(&list, &mut lines);
        }
    }
    for request in requests::waiting(context.snapshot, &place) {
        lines
            .push(format!("request ({}) that waits: commonName = {}", request.key_type, request.common_name));
    }
    if lines.is_empty() {
        lines.push(if place.alias.is_some() {
            "no certificate of its own; those of the interface are presented".to_owned()
        } else {
            "no certificate yet; self-signed ones are made at the first handshake".to_owned()
        });
    }
    Ok(ActionOutput { lines, query: true, ..ActionOutput::default() })
}

fn ssl_self_signed(
    context: &ActionContext<'_>,
    arguments: &[Option<String>],
) -> Result<ActionOutput, Problems> {
    let path = context.context.full_path();
    let (place, _) = place(context, arguments)?;
    for key_type in KeyType::GENERATED {
        let (certificate, key) = generated::paths(context.data_dir, &place, key_type);
        for file in [certificate, key] {
            if let Err(error) = fs::remove_file(&file)
                && error.kind() != std::io::ErrorKind::NotFound
            {
                return Err(Problem::new(path, format!("{}: {error}", file.display())).into());
            }
        }
    }
    let edits = configured_at(context.snapshot, &place)
        .into_iter()
        .map(|(key_type, _)| Edit::Delete { context: path.clone(), key: place.row_key(&key_type) })
        .collect();
    Ok(ActionOutput { edits, ..ActionOutput::default() })
}

fn ssl_export(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Result<ActionOutput, Problems> {
    let path = context.context.full_path();
    let (place, words) = place(context, arguments)?;
    let word = |index: usize| words.get(index).copied().flatten();
    let refuse = |parameter: &'static str, reason: &str| {
        Problems::from(Problem::new(path.clone(), reason).parameter(parameter))
    };
    let file = export_path(context, word(0).unwrap_or_default())
        .ok_or_else(|| refuse("file", "a plain file name is needed"))?;
    let mut all = configured_at(context.snapshot, &place);
    if let Some(wanted) = word(1) {
        all.retain(|(key_type, _)| key_type.eq_ignore_ascii_case(wanted));
    }
    let (_, pair) = match all.as_slice() {
        [one] => one,
        [] => return Err(refuse("interfaceIp", "the interface has no such configured certificate")),
        _ => return Err(refuse("keyType", "the interface has several certificates; say which")),
    };
    let mut text = pair.chain.clone();
    let mut mode = 0o644;
    if word(2).is_some_and(|word| word.eq_ignore_ascii_case("true")) {
        let passphrase = word(3)
            .map(Secret::new)
            .filter(|text| text.expose().chars().count() >= MIN_PASSPHRASE)
            .ok_or_else(|| refuse("passphrase", "8 characters or more are needed to export the key"))?;
        let key = material::encrypted_key_pem(pair.key.expose(), passphrase.expose())
            .map_err(|error| refuse("includeKey", &error.to_string()))?;
        text.insert_str(0, &key);
        mode = 0o600;
    }
    if let Some(folder) = file.parent() {
        create_private_dir(folder).map_err(|error| refuse("file", &error.to_string()))?;
    }
    write_atomically(&file, text.as_bytes(), mode).map_err(|error| refuse("file", &error.to_string()))?;
    Ok(ActionOutput { lines: vec![file.display().to_string()], ..ActionOutput::default() })
}

/// Always a plain file below the folder `tmp` of the data directory, whoever runs the command.
fn export_path(context: &ActionContext<'_>, given: &str) -> Option<PathBuf> {
    let folder = context.data_dir.join("tmp");
    let own = format!("{}/", folder.display());
    let name = given.strip_prefix(GUIDE_FOLDER).or_else(|| given.strip_prefix(&own)).unwrap_or(given);
    let plain = !name.is_empty()
        && !name.starts_with('.')
        && !name.contains(['/', '\\'])
        && !name.chars().any(char::is_control);
    plain.then(|| folder.join(name))
}
