//! Looks after the ends of certificates and revocation lists: keeps the metrics, raises the alarms.

use openadp_alarms::{CERTIFICATE_EXPIRED, CERTIFICATE_EXPIRES, REVOCATION_LIST_OVERDUE, Severity};
use openadp_appserver::Clock;
use openadp_settings::Store;
use openadp_tls::{ExpiryChange, ExpiryWatch};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Ends come by the day; an hour between two looks is close enough.
const PERIOD: Duration = Duration::from_hours(1);

/// Looks at once, after every change of the settings and every hour, until `shutdown`.
pub(crate) fn follow(
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
    tasks: &TaskTracker,
    shutdown: CancellationToken,
) {
    let mut changes = store.watch();
    tasks.spawn(async move {
        let mut watch = ExpiryWatch::default();
        loop {
            for change in watch.look(&store.current(), clock.now()) {
                tell(&change);
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                changed = changes.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(PERIOD) => {}
            }
        }
    });
}

fn tell(change: &ExpiryChange) {
    match change {
        ExpiryChange::Reached { days, expiry } => {
            let about = [("context", expiry.context.as_str()), ("key", &expiry.key)];
            let text = format!("'{}' ends on {}", expiry.subject, expiry.not_after);
            let severity = match days {
                ..=0 => {
                    CERTIFICATE_EXPIRES.clear(&about);
                    return CERTIFICATE_EXPIRED.raise(&about, text);
                }
                1 => Severity::Critical,
                2..=7 => Severity::Major,
                8..=14 => Severity::Minor,
                _ => Severity::Warning,
            };
            CERTIFICATE_EXPIRED.clear(&about);
            CERTIFICATE_EXPIRES.raise_as(severity, &about, text);
        }
        ExpiryChange::Cleared { context, key } => {
            let about = [("context", context.as_str()), ("key", key)];
            CERTIFICATE_EXPIRES.clear(&about);
            CERTIFICATE_EXPIRED.clear(&about);
        }
        ExpiryChange::Overdue(list) => {
            let severity = if list.fails_closed { Severity::Critical } else { Severity::Warning };
            let about = [("context", list.context.as_str()), ("key", &list.key)];
            let text = format!("that of '{}' was due on {}", list.issuer, list.due);
            REVOCATION_LIST_OVERDUE.raise_as(severity, &about, text);
        }
        ExpiryChange::Updated { context, key } => {
            REVOCATION_LIST_OVERDUE.clear(&[("context", context.as_str()), ("key", key)]);
        }
    }
}
