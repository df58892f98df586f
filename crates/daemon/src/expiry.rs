//! Looks after the ends of certificates and revocation lists: keeps the metrics, raises the alarms.

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
            let now = clock.now();
            for change in watch.look(&store.current(), now) {
                tell(&change, now);
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                changed = changes.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(PERIOD) => {}
            }
        }
    });
}

fn tell(change: &ExpiryChange, now: time::OffsetDateTime) {
    match change {
        ExpiryChange::Reached { days: 0, expiry } => tracing::error!(
            alarm = "certificateExpired",
            context = expiry.context,
            key = expiry.key,
            subject = expiry.subject,
            "a certificate has expired"
        ),
        ExpiryChange::Reached { days, expiry } => tracing::warn!(
            alarm = "certificateExpires",
            context = expiry.context,
            key = expiry.key,
            subject = expiry.subject,
            threshold_days = days,
            days_left = expiry.days_left(now),
            "a certificate expires soon"
        ),
        ExpiryChange::Cleared { days, context, key } => {
            let alarm = if *days == 0 { "certificateExpired" } else { "certificateExpires" };
            tracing::warn!(alarm_cleared = alarm, context, key, "the certificate was renewed or is gone");
        }
        ExpiryChange::Overdue(list) => tracing::error!(
            alarm = "revocationListOverdue",
            context = list.context,
            key = list.key,
            issuer = list.issuer,
            fails_closed = list.fails_closed,
            "a revocation list was due for renewal"
        ),
        ExpiryChange::Updated { context, key } => tracing::warn!(
            alarm_cleared = "revocationListOverdue",
            context,
            key,
            "the revocation list was renewed or is gone"
        ),
    }
}
