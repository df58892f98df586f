//! Certificates that come to their end and revocation lists without a successor: told at sign-in, counted down in metrics,
//! raised as alarms.

use super::{CtiServerCertificate, HttpAliasCertificate, HttpServerCertificate};
use crate::revocation::{self, NextUpdate};
use crate::trusts::{CtiClientTrust, HttpClientTrust, ServerTrust};
use crate::{peer, pem};
use openadp_settings::{Context, Settings, Snapshot};
use std::collections::{BTreeMap, BTreeSet};
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Days before the end at which an alarm is raised, each more urgent than the one before.
pub const THRESHOLDS: [i64; 4] = [30, 14, 7, 1];
const SECONDS_PER_DAY: i64 = 24 * 3600;

/// A configured certificate or trust anchor and its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expiry {
    /// Full path of the context that holds it.
    pub context: String,
    /// Key of its row, words joined by blanks.
    pub key: String,
    /// Common name of its subject.
    pub subject: String,
    /// When it ends.
    pub not_after: OffsetDateTime,
}

impl Expiry {
    /// Whole days that are left; negative once it has ended.
    pub fn days_left(&self, now: OffsetDateTime) -> i64 {
        (self.not_after.unix_timestamp() - now.unix_timestamp()).div_euclid(SECONDS_PER_DAY)
    }

    /// The threshold that has been reached: the smallest of [`THRESHOLDS`] that covers what is left, 0 at the end.
    pub fn reached(&self, now: OffsetDateTime) -> Option<i64> {
        let left = self.not_after.unix_timestamp() - now.unix_timestamp();
        if left <= 0 {
            return Some(0);
        }
        THRESHOLDS.into_iter().rev().find(|days| left <= days * SECONDS_PER_DAY)
    }

    /// One line for an operator.
    pub fn line(&self, now: OffsetDateTime) -> String {
        let Self { context, key, subject, .. } = self;
        match self.days_left(now) {
            left if left < 0 => format!("the certificate '{subject}' of {context} {key} has expired"),
            0 => format!("the certificate '{subject}' of {context} {key} expires within a day"),
            1 => format!("the certificate '{subject}' of {context} {key} expires in 1 day"),
            left => format!("the certificate '{subject}' of {context} {key} expires in {left} days"),
        }
    }
}

/// Everything that was configured and ends one day. Generated certificates renew themselves and are not among them, nor are
/// the public authorities, which a release brings.
pub fn expiries(snapshot: &Snapshot) -> Vec<Expiry> {
    let held: [(&'static Context, &str); 6] = [
        (HttpServerCertificate::CONTEXT, "chain"),
        (HttpAliasCertificate::CONTEXT, "chain"),
        (CtiServerCertificate::CONTEXT, "chain"),
        (HttpClientTrust::CONTEXT, "certificate"),
        (CtiClientTrust::CONTEXT, "certificate"),
        (ServerTrust::CONTEXT, "certificate"),
    ];
    let mut found = Vec::new();
    for (context, parameter) in held {
        for row in snapshot.rows_of(context) {
            let list = row.text(context, parameter).and_then(|text| pem::certificates(text).ok());
            // Of a chain, what ends first ends all of it.
            let first_to_end = list
                .iter()
                .flatten()
                .filter_map(|der| X509Certificate::from_der(der).ok())
                .min_by_key(|(_, certificate)| certificate.validity().not_after.timestamp());
            if let Some((_, certificate)) = first_to_end {
                found.push(Expiry {
                    context: context.full_path(),
                    key: row.key(context).join(" "),
                    subject: peer::display_name(certificate.subject()),
                    not_after: certificate.validity().not_after.to_datetime(),
                });
            }
        }
    }
    found
}

/// Lines for an operator who signs in: what has expired or will within the first threshold, and which revocation lists are
/// overdue.
pub fn warnings(snapshot: &Snapshot, now: OffsetDateTime) -> Vec<String> {
    let mut soon = expiries(snapshot);
    soon.retain(|expiry| expiry.reached(now).is_some());
    soon.sort_by_key(|expiry| expiry.not_after);
    let overdue = revocation::next_updates(snapshot).into_iter().filter(|list| list.is_overdue(now));
    soon.iter().map(|expiry| expiry.line(now)).chain(overdue.map(|list| list.line())).collect()
}

/// A certificate or a list: full path of its context, key of its row.
type Place = (String, String);

const CERTIFICATE_END: &str = "tls_certificate_not_after_timestamp_seconds";
const LIST_UPDATE: &str = "tls_revocation_list_next_update_timestamp_seconds";

/// Watches the ends: keeps the metrics and says which alarms hold and which no longer.
#[derive(Debug, Default)]
pub struct ExpiryWatch {
    /// The certificates that had reached a threshold.
    reached: BTreeSet<Place>,
    /// The lists that were overdue.
    overdue: BTreeSet<Place>,
    /// What has a value in a metric.
    measured: BTreeSet<(&'static str, Place)>,
}

/// What a look found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExpiryChange {
    /// A certificate has reached a threshold (days; 0 at its end).
    Reached {
        /// The threshold.
        days: i64,
        /// Which certificate.
        expiry: Expiry,
    },
    /// The certificate was replaced, or is gone.
    Cleared {
        /// Full path of its context.
        context: String,
        /// Key of its row.
        key: String,
    },
    /// A revocation list should have a successor by now.
    Overdue(NextUpdate),
    /// The list was replaced, or is gone.
    Updated {
        /// Full path of its context.
        context: String,
        /// Key of its row.
        key: String,
    },
}

impl ExpiryWatch {
    /// Looks at all certificates and lists: sets `tls_certificate_not_after_timestamp_seconds` and
    /// `tls_revocation_list_next_update_timestamp_seconds` of each (not a number once it is gone). Gives what holds, at every look, and what no longer does.
    pub fn look(&mut self, snapshot: &Snapshot, now: OffsetDateTime) -> Vec<ExpiryChange> {
        let (certificates, lists) = (expiries(snapshot), revocation::next_updates(snapshot));
        self.measure(&certificates, &lists);
        let mut changes = Vec::new();
        let mut reached = BTreeSet::new();
        for expiry in certificates {
            let Some(days) = expiry.reached(now) else { continue };
            reached.insert((expiry.context.clone(), expiry.key.clone()));
            changes.push(ExpiryChange::Reached { days, expiry });
        }
        for (context, key) in self.reached.difference(&reached) {
            changes.push(ExpiryChange::Cleared { context: context.clone(), key: key.clone() });
        }
        self.reached = reached;

        let mut overdue = BTreeSet::new();
        for list in lists.into_iter().filter(|list| list.is_overdue(now)) {
            overdue.insert((list.context.clone(), list.key.clone()));
            changes.push(ExpiryChange::Overdue(list));
        }
        for (context, key) in self.overdue.difference(&overdue) {
            changes.push(ExpiryChange::Updated { context: context.clone(), key: key.clone() });
        }
        self.overdue = overdue;
        changes
    }

    fn measure(&mut self, certificates: &[Expiry], lists: &[NextUpdate]) {
        let ends = certificates.iter().map(|expiry| {
            ((CERTIFICATE_END, (expiry.context.clone(), expiry.key.clone())), expiry.not_after)
        });
        let updates =
            lists.iter().map(|list| ((LIST_UPDATE, (list.context.clone(), list.key.clone())), list.due));
        let values: BTreeMap<_, _> = ends.chain(updates).collect();
        let set = |metric: &'static str, (context, key): &Place, value: f64| {
            metrics::gauge!(metric, "context" => context.clone(), "key" => key.clone()).set(value);
        };
        for ((metric, place), time) in &values {
            #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are far below 2^52")]
            set(metric, place, time.unix_timestamp() as f64);
        }
        // What is gone must not look like something that expired.
        for (metric, place) in self.measured.iter().filter(|known| !values.contains_key(*known)) {
            set(metric, place, f64::NAN);
        }
        self.measured = values.into_keys().collect();
    }
}
