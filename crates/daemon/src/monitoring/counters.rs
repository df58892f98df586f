//! `ADP_CLI/Monitoring/PM`: what is counted, by name. The same as the metrics that Prometheus reads.

use crate::admin::discover;
use openadp_settings::{
    Action, ActionContext, ActionOutput, Context, Kind, Parameter, Problem, Problems, Settings, Tree, context,
};
use std::collections::BTreeMap;

/// A counted thing: its name and what it says. Its part is the beginning of the name.
pub(crate) struct Counted {
    pub(crate) name: &'static str,
    pub(crate) meaning: &'static str,
}

macro_rules! counted {
    ($($name:literal: $meaning:literal,)*) => {
        &[$(Counted { name: $name, meaning: $meaning }),*]
    };
}

/// Everything that is counted, by name.
pub(crate) const COUNTED: &[Counted] = counted! {
    "alarms_active": "Alarms that are raised, by name and severity",
    "alarms_total": "Alarms that were raised or reported since the start",
    "appserver_calls_started_total": "Calls that were begun",
    "appserver_events_total": "Events of the ordered feed",
    "appserver_login_tokens_total": "Single-use login tokens, by what happened to them",
    "appserver_messages_refused_total": "Voice messages that a full mailbox did not take",
    "appserver_messages_total": "Voice messages that were left",
    "appserver_overload_total": "Work that met the overload controls, by result",
    "appserver_password_verifications_total": "Passwords that were checked, by result",
    "appserver_push_notifications_total": "Push notifications of calls, by result",
    "appserver_sip_verifications_total": "Logins with a SIP password, by result",
    "authentications_total": "Attempts to prove an identity, by outcome",
    "authservice_active_key_age_seconds": "Age of the key that signs",
    "authservice_ci_cache_total": "Tokens of identity providers looked up among those checked before, by result",
    "authservice_ci_checks_total": "Tokens of identity providers that were checked, by outcome",
    "authservice_ci_grants_total": "Our own access tokens asked of identity providers, by outcome",
    "authservice_ci_hosts_avoided": "Hosts of identity providers that are left alone after too many failures",
    "authservice_ci_seconds": "Time that identity providers took to answer, by provider",
    "authservice_clock_offset_seconds": "How far the clock of the node that is farthest away is ahead",
    "authservice_federation_age_seconds": "Age of the map of identity providers",
    "authservice_federation_queries_total": "Times that the map of identity providers was asked for, by outcome",
    "authservice_keys": "Keys of the ring, by state",
    "authservice_minted_total": "Long-lived tokens issued, by method",
    "authservice_peers_without_active_key": "Nodes of the farm that do not hold the key that signs",
    "authservice_refresh_token_age_days": "Age of the refresh tokens, which end unused after 60 days",
    "authservice_rejected_total": "Token requests refused, by reason",
    "authservice_validated_total": "Tokens checked for other applications, by outcome",
    "cti_connections": "CTI connections that are open",
    "cti_connections_closed_total": "CTI connections that ended, by reason",
    "cti_event_responses_total": "Answers of CTI clients to events, by status",
    "cti_events_total": "Events sent to CTI clients, by kind",
    "cti_request_seconds": "Time that CTI requests took",
    "cti_requests_total": "CTI requests, by status",
    "cti_unexpected_messages_total": "Messages of CTI clients that mean nothing, by kind",
    "dms_activation_checks_total": "Tokens of activated devices that were checked, by outcome",
    "dms_bytes_total": "Bytes of device files that were served",
    "dms_requests_total": "Requests for device files, by outcome and kind of authentication",
    "dms_sources_blocked_total": "Sources that were refused for a while after too many wrong credentials",
    "http_connections_expired_total": "HTTP connections closed because a time was over, by reason",
    "http_panics_total": "Requests at which an application failed",
    "http_request_duration_seconds": "Time that HTTP requests took, by application",
    "http_requests_total": "HTTP requests, by application, method and class of status",
    "http_timeouts_total": "Requests that were not answered in time",
    "listener_accept_failures_total": "Connections that the system could not hand over",
    "listener_connections_aborted_total": "Connections that did not finish within the drain limit",
    "listener_connections_accepted_total": "Connections that were accepted",
    "listener_connections_active": "Connections that are open",
    "listener_connections_refused_total": "Connections closed at once because of a limit, by reason",
    "listener_handshake_failures_total": "TLS handshakes that failed, by reason",
    "log_lines_lost_total": "Log lines that did not reach an output",
    "node_lock_phase": "0 unlocked, 1 the health check fails, 2 new work is refused, 3 what is open is told to finish, 4 locked",
    "nps_cloud_token_seconds": "Time that the cloud service took to give push credentials",
    "nps_cloud_tokens_total": "Push credentials asked of the cloud service, by outcome",
    "nps_configuration_faults_total": "Pushes refused by a provider because of our configuration",
    "nps_credentials_age_seconds": "Age of the oldest access token for a provider",
    "nps_dead_token_alarms_total": "Times that too many device tokens of an application were unknown",
    "nps_malformed_pushes_total": "Pushes that a provider called malformed",
    "nps_overload_total": "Notifications refused because too many wait",
    "nps_peers_refused_total": "Callers without the right to push, by reason",
    "nps_provider_answers_total": "Answers of providers, by status and reason",
    "nps_provider_failures_total": "Pushes without an answer of the provider, by kind",
    "nps_push_seconds": "Time that pushes took",
    "nps_pushes_total": "Pushes that are done with, by provider and status",
    "nps_pushes_waiting": "Pushes that wait for their turn",
    "nps_retries_total": "Pushes that were tried again",
    "nps_token_failures_total": "Access tokens that could not be had",
    "open_client_connections_total": "Clients of OpenClientServer, by what became of them",
    "scheduler_tasks_total": "Tasks of the scheduler that this process did, by result",
    "snmp_traps_total": "Traps of alarms, by result",
    "stale_accounts_total": "Times that what was known of an account was used, since the application server could not say",
    "tls_configurations_built_total": "TLS configurations made after changes of settings",
    "token_cache_total": "Tokens looked up among those checked before, by result",
    "tokens_refused_total": "Tokens that were refused, by reason",
    "xsi_application_server_failures_total": "Requests that the application server did not answer, by kind; each try counts",
    "xsi_application_server_retries_total": "Requests that were put to the application server again",
    "xsi_channels_open": "Event channels that are open",
    "xsi_channels_overflowed_total": "Event channels ended because their client did not read",
    "xsi_event_handlers_busy": "Questions to the application server that the delivery of events waits for",
    "xsi_event_responses_total": "Answers of clients to events",
    "xsi_events_sent_total": "Events sent on channels",
    "xsi_events_unacknowledged": "Events that wait for the client's answer",
    "xsi_http_contacts_total": "Events posted to addresses of clients, by result",
    "xsi_requests_total": "Requests to Xsi-Actions and Xsi-Events",
    "xsi_subscriptions": "Subscriptions that are held",
    "xsi_transactions_refused_total": "Requests beyond a limit of transactions, by limit",
};

/// Tells the recorder what each metric means.
pub(crate) fn describe() {
    for counted in COUNTED {
        // The recorder keeps descriptions by name, whatever is counted.
        if counted.name.ends_with("_total") {
            metrics::describe_counter!(counted.name, counted.meaning);
        } else if counted.name.ends_with("_seconds") && !counted.name.contains("_age_") {
            metrics::describe_histogram!(counted.name, counted.meaning);
        } else {
            metrics::describe_gauge!(counted.name, counted.meaning);
        }
    }
}

const GET: &[Action] = &[Action {
    name: "get",
    help: "Shows the counters of this part, added up over all processes of the installation.",
    arguments: &[Parameter::new("-f", Kind::text(1, 80)).help("Only those whose name begins like this.")],
    run: get,
}];

macro_rules! components {
    ($( $(#[doc = $doc:literal])+ $name:ident: $path:literal, $prefixes:expr; )*) => {
        $(
            context! {
                $(#[doc = $doc])+
                pub struct $name = Context::actions_only(Tree::Adp, $path).actions(GET) => {}
            }
        )*
        /// The contexts of all parts.
        pub(crate) const COMPONENTS: [&Context; 9] = [$($name::CONTEXT),*];
        /// What the names of a part's counters begin with.
        const PREFIXES: &[(&str, &[&str])] = &[$(($path, $prefixes)),*];
    };
}

components! {
    /// Counters of the embedded application server.
    ApplicationServerCounters: "Monitoring/PM/ApplicationServer", &["appserver_"];
    /// Counters of the AuthenticationService, and of everybody who proves an identity.
    AuthenticationServiceCounters: "Monitoring/PM/AuthenticationService", &["authservice_", "authentications_", "token_cache_", "tokens_", "stale_accounts_"];
    /// Counters of the device management.
    BroadworksDmsCounters: "Monitoring/PM/BroadworksDms", &["dms_"];
    /// Counters of the CTI server.
    CtiCounters: "Monitoring/PM/CTI", &["cti_"];
    /// Counters of connections and handshakes.
    InterfaceCounters: "Monitoring/PM/Interface", &["listener_", "tls_"];
    /// Counters of the push server.
    NpsCounters: "Monitoring/PM/NotificationPushServer", &["nps_"];
    /// Counters of every process.
    SystemCounters: "Monitoring/PM/System", &["alarms_", "log_", "node_", "open_client_", "scheduler_", "snmp_"];
    /// Counters of the web container.
    WebContainerCounters: "Monitoring/PM/WebContainer", &["http_"];
    /// Counters of Xsi-Actions and Xsi-Events.
    XsiCounters: "Monitoring/PM/Xsi", &["xsi_"];
}

/// Name and labels of a sample, and its value. Quantiles and buckets are for Prometheus.
pub(super) fn sample(line: &str) -> Option<(&str, f64)> {
    if line.starts_with('#') || line.contains("quantile=\"") || line.contains("le=\"") {
        return None;
    }
    let (id, value) = line.rsplit_once(' ')?;
    Some((id, value.parse().ok()?))
}

fn declared(id: &str) -> Option<&'static Counted> {
    let name = id.split('{').next().unwrap_or_default();
    let whole = |name: &str| COUNTED.iter().find(|counted| counted.name == name);
    whole(name).or_else(|| whole(name.strip_suffix("_sum")?)).or_else(|| whole(name.strip_suffix("_count")?))
}

fn get(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Result<ActionOutput, Problems> {
    let wanted = arguments.first().and_then(Option::as_deref).unwrap_or_default().to_ascii_lowercase();
    let path = context.context.path;
    let prefixes = PREFIXES.iter().find(|(own, _)| *own == path).map_or(&[][..], |(_, prefixes)| prefixes);
    let mut processes = discover(context.data_dir);
    if processes.is_empty() {
        let problem = Problem::new(context.context.full_path(), "no process runs, so nothing is counted");
        return Err(problem.into());
    }
    let mut values: BTreeMap<String, f64> = BTreeMap::new();
    for process in &mut processes {
        // One that ends at this moment counts no more.
        for line in process.counters().unwrap_or_default() {
            let Some((id, value)) = sample(&line) else { continue };
            let here = prefixes.iter().any(|prefix| id.starts_with(prefix)) && id.starts_with(&wanted);
            if here {
                *values.entry(id.to_owned()).or_default() += value;
            }
        }
    }
    // What was not counted yet is 0, where it has no labels to know.
    for counted in COUNTED {
        let here = prefixes.iter().any(|prefix| counted.name.starts_with(prefix));
        let known = values.keys().any(|id| declared(id).is_some_and(|own| own.name == counted.name));
        if here && counted.name.starts_with(&wanted) && !known {
            values.insert(counted.name.to_owned(), 0.0);
        }
    }
    if values.is_empty() {
        let problem = Problem::new(context.context.full_path(), format!("Entry not found: {wanted}"));
        return Err(problem.hint("get without -f shows all of this part").into());
    }
    let mut lines = Vec::new();
    for (id, value) in values {
        if !lines.is_empty() {
            lines.push(String::new());
        }
        let meaning = declared(&id).map_or("", |counted| counted.meaning);
        for (name, value) in [
            ("Label", id.split('{').next().unwrap_or_default()),
            ("Description", meaning),
            ("Object ID", &id),
            ("Access", "ReadOnly"),
            ("Value", &value.to_string()),
        ] {
            lines.push(format!("  {name:<11} = {value}"));
        }
    }
    Ok(ActionOutput { lines, query: true, ..ActionOutput::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    fn names(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                names(&path, found);
                continue;
            }
            let Ok(text) = std::fs::read_to_string(&path) else { continue };
            for kind in ["counter!(", "gauge!(", "histogram!("] {
                for (at, _) in text.match_indices(&format!("metrics::{kind}")) {
                    let rest = text[at..].split_once('(').unwrap().1.trim_start();
                    if let Some(name) = rest.strip_prefix('"').and_then(|rest| rest.split('"').next()) {
                        found.insert(name.to_owned());
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_counted_is_what_is_declared() {
        let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut found = BTreeSet::new();
        for entry in std::fs::read_dir(crates).unwrap() {
            let folder = entry.unwrap().path().join("src");
            if folder.is_dir() {
                names(&folder, &mut found);
            }
        }
        let declared: BTreeSet<String> = COUNTED.iter().map(|counted| counted.name.to_owned()).collect();
        assert_eq!(found, declared);
        for name in &declared {
            let parts = PREFIXES.iter().filter(|(_, all)| all.iter().any(|prefix| name.starts_with(prefix)));
            assert_eq!(parts.count(), 1, "{name} belongs to one part");
        }
    }

    #[test]
    fn samples_are_read() {
        assert_eq!(sample("a_total{b=\"c d\"} 12"), Some(("a_total{b=\"c d\"}", 12.0)));
        assert_eq!(sample("a 1.5"), Some(("a", 1.5)));
        for none in ["# HELP a b", "a{quantile=\"0.5\"} 1", "a_bucket{le=\"1\"} 1", "", "a x"] {
            assert_eq!(sample(none), None, "{none}");
        }
    }
}
