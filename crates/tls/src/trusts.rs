//! Trust anchors: of clients, per kind of interface, and of the servers that this suite calls.

use crate::levels::InterfaceKind;
use crate::{peer, pem};
use openadp_settings::{
    Action, ActionContext, ActionOutput, Apply, Context, Edit, Kind, Parameter, Presented, Problem, Problems,
    Row, Settings, Snapshot, Tree, context,
};
use rustls::RootCertStore;
use std::collections::BTreeMap;
use x509_parser::prelude::{FromDer, X509Certificate};

const ALIAS: Parameter =
    Parameter::new("alias", Kind::text(1, 80)).mandatory().help("Name of the anchor in this list.");

const REQUIRE_EKU: &str = "requireBroadWorksEku";
const REQUIRE_EKU_HELP: &str = "Whether client certificates below this anchor must have the extended key usage \
     1.3.6.1.4.1.6431.1.1.8.2.1.3.";

/// A parameter of `updateTrust`.
const FORCE: Parameter = Parameter::new("force", Kind::Boolean)
    .default("false")
    .help("Take a certificate that has expired or is not an authority's, all the same.");

const UPDATE: Action = Action {
    name: "updateTrust",
    help: "Adds or replaces a trust anchor. A file with several certificates makes alias, alias-2 and so on.",
    arguments: &[
        ALIAS,
        Parameter::new("file", Kind::File).mandatory().help("File with the certificate, PEM or DER."),
        FORCE,
    ],
    run: update_trust,
};
const SET: Action = Action {
    name: "set",
    help: "Changes the policy of a trust anchor.",
    arguments: &[ALIAS, Parameter::new(REQUIRE_EKU, Kind::Boolean).help(REQUIRE_EKU_HELP)],
    run: set_policy,
};
const DELETE: Action = Action {
    name: "deleteTrust",
    help: "Takes a trust anchor away.",
    arguments: &[ALIAS],
    run: delete_alias,
};
const IMPORT: Action = Action {
    name: "importJavaCATrust",
    help: "Takes the public authorities that this release ships into the list.",
    arguments: &[],
    run: import_public,
};

/// A list of trust anchors; `policy` gives its anchors one.
macro_rules! trust_list {
    ($(#[doc = $doc:literal])+ $name:ident, $path:literal, $actions:expr $(, $policy:ident)?) => {
        context! {
            $(#[doc = $doc])+
            pub struct $name = Context::table(Tree::Adp, $path)
                .without(&["add", "set", "delete"])
                .actions($actions)
                .present(|_, row| present(row))
                .long(|_, row| long($name::CONTEXT, row)) =>
            {
                /// Name of the anchor.
                pub alias: String = Parameter::new("alias", Kind::text(1, 80)).key().header("Alias");
                /// The certificate, PEM.
                pub certificate: String = Parameter::new("certificate", Kind::File)
                    .mandatory()
                    .hidden()
                    .apply(Apply::NextConnection);
                $(
                    /// Whether client certificates below this anchor must have the extended key usage
                    /// 1.3.6.1.4.1.6431.1.1.8.2.1.3. For authorities of one's own that also issue other certificates.
                    pub $policy: bool = Parameter::new(REQUIRE_EKU, Kind::Boolean)
                        .default("false")
                        .apply(Apply::NextConnection);
                )?
            }
        }
    };
}
trust_list!(
    /// Authorities whose client certificates the HTTP interfaces take.
    HttpClientTrust,
    "Interface/Http/SSLCommonSettings/ClientAuthentication/Trusts",
    &[UPDATE, SET, DELETE],
    require_broadworks_eku
);
trust_list!(
    /// Authorities whose client certificates the CTI interfaces take.
    CtiClientTrust,
    "Interface/CTI/SSLCommonSettings/ClientAuthentication/Trusts",
    &[UPDATE, SET, DELETE],
    require_broadworks_eku
);
trust_list!(
    /// Authorities of the servers that this suite calls, as operators add them.
    ServerTrust,
    "System/SSLCommonSettings/Trusts/BroadWorks",
    &[UPDATE, DELETE]
);
trust_list!(
    /// Public authorities of the servers that this suite calls; empty until they are imported.
    DefaultTrust,
    "System/SSLCommonSettings/Trusts/Defaults",
    &[IMPORT, DELETE]
);
context! {
    /// How servers are checked that this suite calls.
    pub struct GeneralSettings = Context::single(Tree::Adp, "System/SSLCommonSettings/GeneralSettings") => {
        /// Whether the name in a server's certificate must be the one that was called. Chains are always checked.
        pub validate_peer_identity: bool = Parameter::new("validatePeerIdentity", Kind::Boolean)
            .default("true")
            .apply(Apply::NextConnection);
    }
}

/// Alias, Owner and Issuer, as the known tables show a trust anchor.
fn present(row: &Row) -> Presented {
    let text = |name: &str| row.explicit(name).map(|value| value.text().to_owned()).unwrap_or_default();
    let mut owner = String::from("(unreadable)");
    let mut issuer = String::new();
    if let Some(der) = pem::certificates(&text("certificate")).ok().and_then(|list| list.into_iter().next())
        && let Ok((_, certificate)) = X509Certificate::from_der(&der)
    {
        owner = peer::display_name(certificate.subject());
        issuer = peer::display_name(certificate.issuer());
        if certificate.subject() == certificate.issuer() {
            issuer.push_str("[self-signed]");
        }
    }
    vec![("Alias", text("alias")), ("Owner", owner), ("Issuer", issuer)]
}

/// What `get -l` adds: whatever tells one certificate from another of the same names, and the policy. cli.md 6.2
fn long(context: &'static Context, row: &Row) -> Presented {
    let mut shown = present(row);
    let text = |name: &str| row.explicit(name).map(|value| value.text().to_owned()).unwrap_or_default();
    let certificates = pem::certificates(&text("certificate")).unwrap_or_default();
    let der = certificates.first();
    let certificate =
        der.and_then(|der| X509Certificate::from_der(der).ok()).map(|(_, certificate)| certificate);
    let field =
        |of: &dyn Fn(&X509Certificate<'_>) -> String| certificate.as_ref().map(of).unwrap_or_default();
    shown.push(("Serial", field(&|certificate| certificate.raw_serial_as_string())));
    shown.push(("Not Before", field(&|certificate| certificate.validity().not_before.to_string())));
    shown.push(("Not After", field(&|certificate| certificate.validity().not_after.to_string())));
    shown.push(("SHA-256", der.map(|der| fingerprint(der)).unwrap_or_default()));
    if context.parameter(REQUIRE_EKU).is_some() {
        let eku = text(REQUIRE_EKU);
        shown.push(("Requires BroadWorks EKU", if eku.is_empty() { "false".to_owned() } else { eku }));
    }
    shown
}

fn fingerprint(der: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, der);
    digest.as_ref().iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
}

fn update_trust(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Result<ActionOutput, Problems> {
    let path = context.context.full_path();
    let argument = |index: usize| arguments.get(index).and_then(Option::as_deref).unwrap_or_default();
    let (alias, file, force) = (argument(0), argument(1), argument(2).eq_ignore_ascii_case("true"));
    let found = crate::material::read(file, None)
        .and_then(|found| {
            if found.certificates.is_empty() {
                Err(pem::PemError::NoCertificate)
            } else {
                Ok(found.certificates)
            }
        })
        .map_err(|error| Problems::from(Problem::new(path.clone(), error.to_string()).parameter("file")))?;
    let mut problems = Vec::new();
    let mut edits = Vec::new();
    for (index, der) in found.iter().enumerate() {
        if !force && let Err(reason) = is_anchor(der, context.now.unix_timestamp()) {
            problems.push(
                Problem::new(path.clone(), reason)
                    .parameter("file")
                    .hint("add 'force true' to take it all the same"),
            );
        }
        let alias = if index == 0 { alias.to_owned() } else { format!("{alias}-{}", index + 1) };
        let text = pem::encode("CERTIFICATE", der);
        match context.snapshot.row(context.context, &[&alias]) {
            Some(row) if row.text(context.context, "certificate") == Some(&text) => {}
            Some(_) => edits.push(Edit::Set {
                context: path.clone(),
                key: vec![alias],
                values: BTreeMap::from([("certificate".to_owned(), Some(text))]),
            }),
            None => edits.push(Edit::Add {
                context: path.clone(),
                values: BTreeMap::from([("alias".to_owned(), alias), ("certificate".to_owned(), text)]),
            }),
        }
    }
    if problems.is_empty() {
        Ok(ActionOutput { edits, ..ActionOutput::default() })
    } else {
        Err(Problems(problems))
    }
}

fn set_policy(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Result<ActionOutput, Problems> {
    let path = context.context.full_path();
    let argument = |index: usize| arguments.get(index).and_then(Option::as_deref).unwrap_or_default();
    let Some(row) = context.snapshot.row(context.context, &[argument(0)]) else {
        return Err(Problem::new(path, format!("Entry not found: {}", argument(0)))
            .parameter("alias")
            .into());
    };
    if argument(1).is_empty() {
        return Err(Problem::new(path, "is needed").parameter(REQUIRE_EKU).into());
    }
    let key = row.key(context.context).into_iter().map(str::to_owned).collect();
    let values = BTreeMap::from([(REQUIRE_EKU.to_owned(), Some(argument(1).to_owned()))]);
    Ok(ActionOutput { edits: vec![Edit::Set { context: path, key, values }], ..ActionOutput::default() })
}

/// Deletes the entry with an alias; of every table whose key that is.
pub(crate) fn delete_alias(
    context: &ActionContext<'_>,
    arguments: &[Option<String>],
) -> Result<ActionOutput, Problems> {
    let path = context.context.full_path();
    let alias = arguments.first().and_then(Option::as_deref).unwrap_or_default();
    let Some(row) = context.snapshot.row(context.context, &[alias]) else {
        return Err(Problem::new(path, format!("Entry not found: {alias}")).parameter("alias").into());
    };
    let key = row.key(context.context).into_iter().map(str::to_owned).collect();
    Ok(ActionOutput { edits: vec![Edit::Delete { context: path, key }], ..ActionOutput::default() })
}

#[expect(clippy::unnecessary_wraps, reason = "the signature of every action")]
fn import_public(context: &ActionContext<'_>, _: &[Option<String>]) -> Result<ActionOutput, Problems> {
    let path = context.context.full_path();
    let mut edits = Vec::new();
    let mut known = 0usize;
    for der in webpki_root_certs::TLS_SERVER_ROOT_CERTS {
        let alias = format!("public-{}", peer::fingerprint(der).get(..16).unwrap_or_default());
        if context.snapshot.row(context.context, &[&alias]).is_some() {
            known += 1;
            continue;
        }
        edits.push(Edit::Add {
            context: path.clone(),
            values: BTreeMap::from([
                ("alias".to_owned(), alias),
                ("certificate".to_owned(), pem::encode("CERTIFICATE", der)),
            ]),
        });
    }
    let lines = vec![format!("{} authorities taken in, {known} were there already", edits.len())];
    Ok(ActionOutput { lines, edits, ..ActionOutput::default() })
}

/// Why a certificate cannot be a trust anchor.
fn is_anchor(der: &[u8], now: i64) -> Result<(), String> {
    let Ok((_, certificate)) = X509Certificate::from_der(der) else {
        return Err("the certificate cannot be read".to_owned());
    };
    let name = peer::display_name(certificate.subject());
    let validity = certificate.validity();
    if validity.not_after.timestamp() < now {
        return Err(format!("'{name}' expired on {}", validity.not_after));
    }
    if validity.not_before.timestamp() > now {
        return Err(format!("'{name}' is not valid before {}", validity.not_before));
    }
    match certificate.basic_constraints() {
        Ok(Some(constraints)) if constraints.value.ca => Ok(()),
        Ok(_) | Err(_) => Err(format!("'{name}' is not the certificate of an authority")),
    }
}

/// An anchor for clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClientAnchor {
    /// The certificate, PEM.
    pub(crate) text: String,
    /// Whether certificates below it need BroadWorks' extended key usage.
    pub(crate) requires_eku: bool,
}

/// The anchors for clients of a kind of interface.
pub(crate) fn client_anchors(snapshot: &Snapshot, kind: InterfaceKind) -> Vec<ClientAnchor> {
    let context = match kind {
        InterfaceKind::Http => HttpClientTrust::CONTEXT,
        InterfaceKind::Cti => CtiClientTrust::CONTEXT,
    };
    let anchor = |row: &Row| {
        Some(ClientAnchor {
            text: row.text(context, "certificate")?.to_owned(),
            requires_eku: row.text(context, REQUIRE_EKU) == Some("true"),
        })
    };
    snapshot.rows_of(context).iter().filter_map(anchor).collect()
}

/// The PEM texts of the anchors for servers that this suite calls.
pub(crate) fn server_anchors(snapshot: &Snapshot) -> Vec<String> {
    let mut all = texts(snapshot, ServerTrust::CONTEXT);
    all.extend(texts(snapshot, DefaultTrust::CONTEXT));
    all
}

fn texts(snapshot: &Snapshot, context: &'static Context) -> Vec<String> {
    snapshot
        .rows_of(context)
        .iter()
        .filter_map(|row| row.text(context, "certificate").map(str::to_owned))
        .collect()
}

/// The anchors as rustls takes them; what cannot be read is left out and logged, so it is not trusted.
pub(crate) fn root_store<'a>(texts: impl IntoIterator<Item = &'a str>) -> RootCertStore {
    let mut store = RootCertStore::empty();
    for text in texts {
        match pem::certificates(text) {
            Ok(found) => {
                let (_, ignored) = store.add_parsable_certificates(found);
                if ignored > 0 {
                    tracing::warn!(ignored, "trust anchors left out: they cannot be used");
                }
            }
            Err(error) => tracing::warn!(%error, "trust anchor left out"),
        }
    }
    store
}
