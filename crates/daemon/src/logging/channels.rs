//! Input channels: names for parts of the suite.

use super::settings;
use openadp_settings::Snapshot;

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
pub(crate) const SEVERITIES: &[(&str, &str)] =
    &[("Error", "error"), ("Warn", "warn"), ("Info", "info"), ("FieldDebug", "debug"), ("Debug", "trace")];

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

/// What is logged: the level of all, and those of the channels that have their own. Libraries below a warning say too much for
/// a log of ours, some of it secret.
pub(crate) fn directives(level: &str, snapshot: Option<&Snapshot>) -> String {
    let mut text = format!("warn,openadp={level},access={level},adp={level},audit={level}");
    let rows = snapshot.map(settings::input_channels).unwrap_or_default();
    for (name, enabled, severity) in rows {
        let own =
            SEVERITIES.iter().find(|(known, _)| severity.as_deref() == Some(*known)).map(|(_, level)| *level);
        // Said of each: a channel whose modules lie below those of another one would have that one's.
        let level = if enabled { own.unwrap_or(level) } else { "off" };
        let channel = CHANNELS.iter().find(|channel| channel.name.eq_ignore_ascii_case(&name));
        let targets = channel.map_or(&[][..], |channel| channel.targets);
        text.extend(targets.iter().map(|target| format!(",{target}={level}")));
    }
    text
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
        let told = directives("info", Some(&store.current()));
        let told: Vec<&str> = told.split(',').collect();
        for wanted in ["openadp_xsi=off", "openadp_xsi::http::stream=info", "openadp_xsi_api::delivery=info"]
        {
            assert!(told.contains(&wanted), "{wanted} in {told:?}");
        }
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
