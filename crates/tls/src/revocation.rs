//! Certificate revocation lists for client certificates, per kind of interface.

use crate::levels::InterfaceKind;
use crate::pem::{self, MAX_PEM, PemError};
use crate::{material, peer, trusts};
use openadp_settings::{
    Action, ActionContext, ActionOutput, Apply, Context, Edit, Kind, Parameter, Presented, Problem, Problems,
    Row, Settings, Snapshot, Tree, context,
};
use rustls_pki_types::CertificateRevocationListDer;
use rustls_pki_types::pem::PemObject;
use std::collections::BTreeMap;
use time::OffsetDateTime;
use x509_parser::prelude::{CertificateRevocationList, FromDer};

/// Most lists of a kind of interface.
const MAX_LISTS: usize = 256;

const ALIAS: Parameter = Parameter::new("alias", Kind::text(1, 80)).mandatory().help("Name of the list.");
const UPDATE: Action = Action {
    name: "updateCrl",
    help: "Adds or replaces a revocation list; it holds from the next handshake on, and sessions are not resumed over it.",
    arguments: &[
        ALIAS,
        Parameter::new("file", Kind::File).mandatory().help("File with the revocation list, PEM or DER."),
        Parameter::new("force", Kind::Boolean)
            .default("false")
            .help("Take a list whose next update is overdue, all the same."),
    ],
    run: update,
};
const DELETE: Action = Action {
    name: "deleteCrl",
    help: "Takes a revocation list away.",
    arguments: &[ALIAS],
    run: trusts::delete_alias,
};

macro_rules! revocation {
    ($(#[doc = $list_doc:literal])+ $list:ident, $list_path:literal;
     $(#[doc = $doc:literal])+ $settings:ident, $path:literal) => {
        context! {
            $(#[doc = $list_doc])+
            pub struct $list = Context::table(Tree::Adp, $list_path)
                .without(&["add", "set", "delete"])
                .actions(&[UPDATE, DELETE])
                .present(|_, row| present(row)) =>
            {
                /// Name of the list.
                pub alias: String = Parameter::new("alias", Kind::text(1, 80)).key().header("Alias");
                /// The list, PEM.
                pub list: String =
                    Parameter::new("list", Kind::File).mandatory().hidden().apply(Apply::NextConnection);
            }
        }
        context! {
            $(#[doc = $doc])+
            pub struct $settings = Context::single(Tree::Adp, $path) => {
                /// Whether a list whose next update is overdue still counts. With false, certificates of its authority
                /// are refused until a new one comes.
                pub accept_outdated_lists: bool = Parameter::new("acceptOutdatedLists", Kind::Boolean)
                    .default("false")
                    .apply(Apply::NextConnection);
                /// Whether certificates are refused whose authority has no list here.
                pub require_list: bool = Parameter::new("requireList", Kind::Boolean)
                    .default("false")
                    .apply(Apply::NextConnection);
            }
        }
    };
}
revocation!(
    /// Revocation lists of the authorities whose client certificates the HTTP interfaces take.
    HttpRevocationList,
    "Interface/Http/SSLCommonSettings/ClientAuthentication/RevocationLists";
    /// How revocation lists of client certificates are used on HTTP interfaces.
    HttpRevocationSettings,
    "Interface/Http/SSLCommonSettings/ClientAuthentication/RevocationSettings"
);
revocation!(
    /// Revocation lists of the authorities whose client certificates the CTI interfaces take.
    CtiRevocationList,
    "Interface/CTI/SSLCommonSettings/ClientAuthentication/RevocationLists";
    /// How revocation lists of client certificates are used on CTI interfaces.
    CtiRevocationSettings,
    "Interface/CTI/SSLCommonSettings/ClientAuthentication/RevocationSettings"
);

/// What holds for a kind of interface.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Revocation {
    /// The lists, PEM.
    lists: Vec<String>,
    pub(crate) accept_outdated: bool,
    pub(crate) require_list: bool,
}

impl Revocation {
    pub(crate) fn of(snapshot: &Snapshot, kind: InterfaceKind) -> Self {
        let lists = |context: &'static Context| {
            let text = |row: &Row| row.text(context, "list").map(str::to_owned);
            snapshot.rows_of(context).iter().filter_map(text).collect()
        };
        match kind {
            InterfaceKind::Http => {
                let settings: HttpRevocationSettings = snapshot.get();
                Self {
                    lists: lists(HttpRevocationList::CONTEXT),
                    accept_outdated: settings.accept_outdated_lists,
                    require_list: settings.require_list,
                }
            }
            InterfaceKind::Cti => {
                let settings: CtiRevocationSettings = snapshot.get();
                Self {
                    lists: lists(CtiRevocationList::CONTEXT),
                    accept_outdated: settings.accept_outdated_lists,
                    require_list: settings.require_list,
                }
            }
        }
    }

    /// The lists as rustls takes them.
    ///
    /// # Errors
    /// One cannot be read; nobody may be trusted then.
    pub(crate) fn lists(&self) -> Result<Vec<CertificateRevocationListDer<'static>>, PemError> {
        self.lists.iter().map(|text| read(text)).collect()
    }
}

/// One list, PEM or DER as the CLI hands it over.
fn read(text: &str) -> Result<CertificateRevocationListDer<'static>, PemError> {
    if text.len() > MAX_PEM {
        return Err(PemError::TooLarge);
    }
    let der = match material::binary_file(text)? {
        Some(der) => CertificateRevocationListDer::from(der.to_vec()),
        None => {
            CertificateRevocationListDer::from_pem_slice(text.as_bytes()).map_err(|_| PemError::BadList)?
        }
    };
    webpki::OwnedCertRevocationList::from_der(&der).map_err(|_| PemError::BadList)?;
    Ok(der)
}

fn parsed<'a>(der: &'a CertificateRevocationListDer<'_>) -> Option<CertificateRevocationList<'a>> {
    CertificateRevocationList::from_der(der).ok().map(|(_, list)| list)
}

/// A configured revocation list and the time by which its authority promised the next one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextUpdate {
    /// Full path of the context that holds it.
    pub context: String,
    /// Its alias.
    pub key: String,
    /// Common name of the authority.
    pub issuer: String,
    /// When the next one is due.
    pub due: OffsetDateTime,
    /// Whether the authority's certificates are refused once it is overdue (`acceptOutdatedLists false`).
    pub fails_closed: bool,
}

impl NextUpdate {
    /// Whether the next list should have come.
    pub fn is_overdue(&self, now: OffsetDateTime) -> bool {
        self.due < now
    }

    /// One line for an operator.
    pub fn line(&self) -> String {
        let Self { context, key, issuer, due, fails_closed } = self;
        let effect =
            if *fails_closed { "certificates of its authority are refused" } else { "it is used on" };
        format!("the revocation list of '{issuer}' of {context} {key} was due for renewal on {due}; {effect}")
    }
}

/// Lists that cannot be read (an import may bring them): nobody would be let in.
pub(crate) fn check(snapshot: &Snapshot) -> Vec<Problem> {
    let mut problems = Vec::new();
    for context in [HttpRevocationList::CONTEXT, CtiRevocationList::CONTEXT] {
        for row in snapshot.rows_of(context) {
            if let Err(error) = read(row.text(context, "list").unwrap_or_default()) {
                let alias = row.text(context, "alias").unwrap_or_default();
                problems
                    .push(Problem::new(context.full_path(), format!("{alias}: {error}")).parameter("list"));
            }
        }
    }
    problems
}

/// All lists that say when the next one comes.
pub(crate) fn next_updates(snapshot: &Snapshot) -> Vec<NextUpdate> {
    let kinds: [(&'static Context, bool); 2] = [
        (HttpRevocationList::CONTEXT, snapshot.get::<HttpRevocationSettings>().accept_outdated_lists),
        (CtiRevocationList::CONTEXT, snapshot.get::<CtiRevocationSettings>().accept_outdated_lists),
    ];
    let mut found = Vec::new();
    for (context, accepted) in kinds {
        for row in snapshot.rows_of(context) {
            let Some(der) = row.text(context, "list").and_then(|text| read(text).ok()) else { continue };
            let Some(list) = parsed(&der) else { continue };
            let Some(due) = list.next_update() else { continue };
            found.push(NextUpdate {
                context: context.full_path(),
                key: row.key(context).join(" "),
                issuer: peer::display_name(list.issuer()),
                due: due.to_datetime(),
                fails_closed: !accepted,
            });
        }
    }
    found
}

/// What `get` shows.
fn present(row: &Row) -> Presented {
    let text = |name: &str| row.explicit(name).map(|value| value.text().to_owned()).unwrap_or_default();
    let der = read(&text("list")).ok();
    let list = der.as_ref().and_then(parsed);
    let field =
        |show: &dyn Fn(&CertificateRevocationList<'_>) -> String| list.as_ref().map(show).unwrap_or_default();
    vec![
        ("Alias", text("alias")),
        ("Issuer", field(&|list| peer::display_name(list.issuer()))),
        ("This Update", field(&|list| list.last_update().to_string())),
        ("Next Update", field(&|list| list.next_update().map(|time| time.to_string()).unwrap_or_default())),
        ("Revoked", field(&|list| list.iter_revoked_certificates().count().to_string())),
    ]
}

fn update(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Result<ActionOutput, Problems> {
    let path = context.context.full_path();
    let argument = |index: usize| arguments.get(index).and_then(Option::as_deref).unwrap_or_default();
    let alias = argument(0).to_owned();
    let refuse = |reason: String| Problems::from(Problem::new(path.clone(), reason).parameter("file"));
    let der = read(argument(1)).map_err(|error| refuse(error.to_string()))?;
    let list = parsed(&der).ok_or_else(|| refuse(PemError::BadList.to_string()))?;
    let overdue = list.next_update().filter(|next| next.timestamp() < context.now.unix_timestamp());
    if let Some(next) = overdue
        && !argument(2).eq_ignore_ascii_case("true")
    {
        return Err(Problem::new(path, format!("its next update was due on {next}"))
            .parameter("file")
            .hint("add 'force true' to take it all the same")
            .into());
    }
    let text = pem::encode("X509 CRL", &der);
    let edit = match context.snapshot.row(context.context, &[&alias]) {
        Some(row) if row.text(context.context, "list") == Some(&text) => return Ok(ActionOutput::default()),
        Some(_) => Edit::Set {
            context: path,
            key: vec![alias],
            values: BTreeMap::from([("list".to_owned(), Some(text))]),
        },
        None if context.snapshot.rows_of(context.context).len() >= MAX_LISTS => {
            return Err(refuse(format!("there are {MAX_LISTS} lists already")));
        }
        None => Edit::Add {
            context: path,
            values: BTreeMap::from([("alias".to_owned(), alias), ("list".to_owned(), text)]),
        },
    };
    Ok(ActionOutput { edits: vec![edit], ..ActionOutput::default() })
}
