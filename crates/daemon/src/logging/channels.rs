//! Input channels: names for parts of the suite.

use super::settings;
use openadp_settings::Snapshot;
use std::collections::BTreeSet;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::{Context, Layer};

/// A channel and the modules whose lines it has.
pub(crate) struct Channel {
    pub(crate) name: &'static str,
    pub(crate) targets: &'static [&'static str],
}

/// Everything that logs belongs to one.
pub(crate) const CHANNELS: &[Channel] = &[
    Channel { name: "AccessLog", targets: &["access"] },
    Channel { name: "Alarms", targets: &["openadp_alarms"] },
    Channel { name: "ApplicationServer", targets: &["openadp_appserver_embedded", "openadp_appserver"] },
    Channel {
        name: "authenticationService",
        // Who was given what and who was refused, whichever part found it.
        targets: &["openadp_authservice", "openadp_identity", "openadp_token", "openadp_keystore", "audit"],
    },
    Channel { name: "CTILog", targets: &["openadp_cti"] },
    Channel { name: "DMSLog", targets: &["openadp_dms"] },
    Channel { name: "Generic", targets: &["openadp_webcontainer", "openadp_listener"] },
    Channel { name: "Host", targets: &["openadp_daemon", "openadp_adp", "openadp_wake", "adp"] },
    Channel { name: "NPSLog", targets: &["openadp_nps"] },
    Channel { name: "Settings", targets: &["openadp_settings"] },
    Channel { name: "TLS", targets: &["openadp_tls", "openadp_listener::handshake"] },
    Channel { name: "XsiActionsLog", targets: &["openadp_xsi", "openadp_xsi_api"] },
    Channel {
        name: "XsiEventsLog",
        targets: &["openadp_xsi_api::events", "openadp_xsi_api::delivery", "openadp_xsi::http::stream"],
    },
];

/// Severities as operators set them, and the levels that they mean.
pub(crate) const SEVERITIES: &[(&str, &str)] = &[
    ("Error", "error"),
    ("Warn", "warn"),
    (NOTICE, NOTICE_LEVEL),
    ("Info", "info"),
    ("FieldDebug", "debug"),
    ("Debug", "trace"),
];

/// Severity of lines of the level Info that carry the field [`NOTICE_FIELD`]: the level itself has no name for them.
pub(crate) const NOTICE: &str = "Notice";
const NOTICE_LEVEL: &str = "notice";
/// What marks such a line where it is logged: `notice = true`.
pub(crate) const NOTICE_FIELD: &str = "notice";

/// Whether a module is a target or below it.
fn below(module: &str, target: &str) -> bool {
    module.strip_prefix(target).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// The channel of a module: the one that names most of it.
pub(crate) fn channel(module: &str) -> &'static str {
    let named =
        CHANNELS.iter().flat_map(|channel| channel.targets.iter().map(move |target| (channel.name, *target)));
    named
        .filter(|(_, target)| below(module, target))
        .max_by_key(|(_, target)| target.len())
        .map_or("Generic", |(name, _)| name)
}

/// What is logged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Severities {
    /// The level of all, and those of the channels that have their own. Libraries below a warning say too much for a log of
    /// ours, some of it secret.
    pub(crate) directives: String,
    /// Channels whose lines of the level Info are logged only where they are notices.
    pub(crate) notices: BTreeSet<&'static str>,
}

impl Severities {
    /// What the settings say; `level` is that of channels without a severity of their own.
    pub(crate) fn of(level: &str, snapshot: Option<&Snapshot>) -> Self {
        let plain = |level: &'_ str| if level == NOTICE_LEVEL { "info".to_owned() } else { level.to_owned() };
        let all = plain(level);
        let mut directives = format!("warn,openadp={all},access={all},adp={all},audit={all}");
        let mut notices = BTreeSet::new();
        if level == NOTICE_LEVEL {
            notices.extend(CHANNELS.iter().map(|channel| channel.name));
        }
        let rows = snapshot.map(settings::input_channels).unwrap_or_default();
        for (name, enabled, severity) in rows {
            let Some(channel) = CHANNELS.iter().find(|channel| channel.name.eq_ignore_ascii_case(&name))
            else {
                continue;
            };
            let own =
                SEVERITIES.iter().find(|(known, _)| severity.as_deref() == Some(*known)).map(|(_, own)| *own);
            match own {
                Some(NOTICE_LEVEL) => drop(notices.insert(channel.name)),
                Some(_) => drop(notices.remove(channel.name)),
                None => {}
            }
            // Said of each: a channel whose modules lie below those of another one would have that one's.
            let level = if enabled { plain(own.unwrap_or(level)) } else { "off".to_owned() };
            directives.extend(channel.targets.iter().map(|target| format!(",{target}={level}")));
        }
        Self { directives, notices }
    }
}

/// The filter of all outputs.
pub(crate) struct Filter {
    levels: EnvFilter,
    notices: BTreeSet<&'static str>,
}

impl Filter {
    pub(crate) fn new(severities: &Severities) -> Self {
        Self { levels: EnvFilter::new(&severities.directives), notices: severities.notices.clone() }
    }

    /// Whether a line is below a notice in a channel that has no less severe ones.
    fn hushes(&self, metadata: &Metadata<'_>) -> bool {
        !self.notices.is_empty()
            && metadata.is_event()
            && *metadata.level() == Level::INFO
            && !is_notice(metadata)
            && self.notices.contains(channel(metadata.target()))
    }
}

/// Whether a line is a notice.
pub(crate) fn is_notice(metadata: &Metadata<'_>) -> bool {
    *metadata.level() == Level::INFO && metadata.fields().field(NOTICE_FIELD).is_some()
}

impl<S: Subscriber> Layer<S> for Filter {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.hushes(metadata) {
            return Interest::never();
        }
        Layer::<S>::register_callsite(&self.levels, metadata)
    }

    fn enabled(&self, metadata: &Metadata<'_>, context: Context<'_, S>) -> bool {
        !self.hushes(metadata) && Layer::<S>::enabled(&self.levels, metadata, context)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Layer::<S>::max_level_hint(&self.levels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use openadp_settings::{Author, Change, Edit, Registry, Store};
    use std::collections::BTreeMap;
    use time::OffsetDateTime;

    #[test]
    fn a_channel_below_another_has_its_own_level() {
        let store = Store::in_memory(Registry::new([crate::MODULE]).unwrap());
        let values = BTreeMap::from([("enabled".to_owned(), Some("false".to_owned()))]);
        let context = "ADP_CLI/Applications/Xsi-Actions/Logging/InputChannels".to_owned();
        let edits = vec![Edit::Set { context, key: vec!["XsiActionsLog".to_owned()], values }];
        let change = Change { author: Author("tester".to_owned()), comment: None, edits, force: false };
        store.commit(&change, OffsetDateTime::UNIX_EPOCH).unwrap();
        let told = Severities::of("info", Some(&store.current())).directives;
        let told: Vec<&str> = told.split(',').collect();
        for wanted in ["openadp_xsi=off", "openadp_xsi::http::stream=info", "openadp_xsi_api::delivery=info"]
        {
            assert!(told.contains(&wanted), "{wanted} in {told:?}");
        }
    }

    #[test]
    fn a_notice_is_between_a_warning_and_what_else_happens() {
        let store = Store::in_memory(Registry::new([crate::MODULE]).unwrap());
        let set = |name: &str, severity: &str| {
            let values = BTreeMap::from([("severity".to_owned(), Some(severity.to_owned()))]);
            let context = "ADP_CLI/System/Logging/InputChannels".to_owned();
            let edits = vec![Edit::Set { context, key: vec![name.to_owned()], values }];
            let change = Change { author: Author("tester".to_owned()), comment: None, edits, force: false };
            store.commit(&change, OffsetDateTime::UNIX_EPOCH).unwrap();
        };
        set("Host", "Notice");
        set("Settings", "Info");
        for (level, generic) in [("notice", true), ("info", false), ("error", false)] {
            let severities = Severities::of(level, Some(&store.current()));
            assert!(severities.notices.contains("Host") && !severities.notices.contains("Settings"));
            assert_eq!(severities.notices.contains("Generic"), generic, "{level}");
            let told: Vec<&str> = severities.directives.split(',').collect();
            assert!(told.contains(&"openadp_daemon=info"), "{told:?}");
            assert!(!severities.directives.contains("notice"), "{told:?}");
        }
    }

    #[test]
    fn only_notices_pass_where_a_channel_has_no_less() {
        use std::sync::{Arc, Mutex};
        use tracing_subscriber::layer::SubscriberExt as _;

        struct Seen(Arc<Mutex<Vec<bool>>>);
        impl<S: Subscriber> Layer<S> for Seen {
            fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
                self.0.lock().unwrap().push(is_notice(event.metadata()));
            }
        }
        let lines = |level: &str| {
            let seen = Arc::new(Mutex::new(Vec::new()));
            let filter = Filter::new(&Severities::of(level, None));
            let subscriber = tracing_subscriber::registry().with(filter).with(Seen(seen.clone()));
            tracing::subscriber::with_default(subscriber, || {
                tracing::debug!(target: "openadp_xsi", "below");
                tracing::info!(target: "openadp_xsi", "a request");
                tracing::info!(target: "openadp_xsi", notice = true, "a refusal");
                tracing::warn!(target: "openadp_xsi", notice = true, "a warning");
            });
            seen.lock().unwrap().clone()
        };
        assert_eq!(lines("warn"), [false]);
        assert_eq!(lines("notice"), [true, false]);
        assert_eq!(lines("info"), [false, true, false]);
    }

    #[test]
    fn every_module_has_the_channel_that_names_most_of_it() {
        for (module, name) in [
            ("openadp_xsi_api::delivery::hub", "XsiEventsLog"),
            ("openadp_xsi_api::api", "XsiActionsLog"),
            ("openadp_xsi::http", "XsiActionsLog"),
            ("openadp_listener::handshake", "TLS"),
            ("openadp_listener::accept", "Generic"),
            ("access", "AccessLog"),
            ("audit", "authenticationService"),
            ("openadp_identity::grants", "authenticationService"),
            ("openadp_xsix", "Generic"),
            ("hyper", "Generic"),
        ] {
            assert_eq!(channel(module), name, "{module}");
        }
    }
}
