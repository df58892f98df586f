//! All alarms there are. `docs/reference/alarms.md` is made from this.

use crate::alarm::{Alarm, Severity};

macro_rules! alarms {
    ($( $(#[doc = $doc:literal])+ $name:ident = $text:literal, $severity:ident, $action:literal; )*) => {
        $(
            $(#[doc = $doc])+
            pub static $name: Alarm = Alarm {
                name: $text,
                severity: Severity::$severity,
                meaning: concat!($($doc),+),
                action: $action,
            };
        )*
        /// All of them, by name.
        pub static ALL: &[&Alarm] = &[$(&$name),*];
    };
}

alarms! {
    /// A file of an installed application cannot be read: its requests are answered 404 or 500.
    APPLICATION_FILES_MISSING = "applicationFilesMissing", Major,
        "Install the archive again: Maintenance/ManagedObjects uninstall, install, activate, deploy.";
    /// An application failed while it worked on a request, which was answered 500.
    APPLICATION_PANICKED = "applicationPanicked", Major,
        "It is a defect of the software: report it with the log lines of that request id.";
    /// An application was deployed, undeployed, started, stopped, activated or deactivated, or the node locked or unlocked.
    APPLICATION_STATE_CHANGED = "bwApplicationStateTransition", Informational,
        "Nothing, if it was meant; revisions tells who did it.";
    /// A certificate or trust anchor has expired: who checks it refuses the connection.
    CERTIFICATE_EXPIRED = "certificateExpired", Critical,
        "Get a new certificate (sslRequest) and put it in place (sslUpdate, updateTrust); it is used at once.";
    /// A certificate or trust anchor expires within 30 (Warning), 14 (Minor), 7 (Major) days or a day (Critical).
    CERTIFICATE_EXPIRES = "certificateExpires", Warning,
        "Get a new certificate (sslRequest) and put it in place (sslUpdate); it is used at once.";
    /// The clock of this node is more than five minutes away from those of other nodes, or behind the ring of keys: no tokens are
    /// made.
    CLOCK_OFF = "clockOff", Critical,
        "Look at NTP on this node and on the others; getPeers tells which of them answer.";
    /// The machine's processors are idle for less of the time than minimumIdlePercent: answers become slow.
    CPU_IDLE_TIME = "bwCPUIdleTimeLimitReached", Minor,
        "Look at what takes the time (Monitoring/Report qcurrent, top); spread the load over more nodes where it stays so.";
    /// The settings were changed.
    CONFIGURATION_CHANGED = "bwConfigurationChanged", Informational,
        "Nothing, if it was meant; revisions and diff tell who changed what.";
    /// The file system of the data directory has less room than minimumFreeMebibytes.
    DISK_SPACE_LOW = "diskSpaceLow", Major,
        "Make room or enlarge the file system: without room no change, no call and no token is kept.";
    /// Something that is stored is damaged: the check of the scheduler (dbSyncCheck) found it.
    DATA_DAMAGED = "dataDamaged", Critical,
        "Look at the reason. Stop the processes, keep a copy of the data directory, and put back what is damaged from the last backup.";
    /// The data directory cannot be written: no setting can be changed and no call be handled.
    DATA_DIRECTORY_NOT_WRITABLE = "dataDirectoryNotWritable", Critical,
        "Look at the reason: the file system may be full, read-only or broken, or its owner another user.";
    /// Tokens of activated devices cannot be checked: such devices get no files.
    DEVICE_ACTIVATION = "deviceActivation", Major,
        "Look at the reason, at DeviceActivation of BroadworksDms, at name resolution and at the way out of this network.";
    /// One source sent too many wrong credentials for device files and is refused for a while.
    DMS_GUESSING = "dmsGuessing", Warning,
        "Look at the source: a telephone with an old password, or somebody who tries passwords. Block it where it is hostile.";
    /// A client takes its events so slowly that its channel's queue was full and the channel was ended.
    EVENT_QUEUE_OVERFLOW = "eventQueueOverflow", Warning,
        "Look at the client and the network between; eventQueueSize of Applications/Xsi-Events/BWIntegration is the queue's length.";
    /// The health report of the scheduler (healthmon) found something; its severity is that of the worst finding.
    HEALTH_REPORT = "bwSystemHealthReport", Warning,
        "Monitoring/Report healthmon shows the whole report, and AlarmsTable list each alarm with what to do.";
    /// The identity provider cannot be reached or does not accept us.
    IDENTITY_PROVIDER_UNREACHABLE = "identityProviderUnreachable", Major,
        "Look at the reason, at the URLs of IdentityProviders/Cisco, at name resolution and at the way out of this network.";
    /// An interface is configured and cannot be bound: nobody can connect there.
    INTERFACE_NOT_LISTENING = "interfaceNotListening", Major,
        "Look at the reason: another program may have the address, or the machine may not have it. It is tried again by itself.";
    /// An interface has no usable certificate or no usable cipher suite: every handshake fails.
    INTERFACE_NOT_SECURED = "interfaceNotSecured", Critical,
        "Look at the reason; sslUpdate puts a certificate in place, and get -e of Ciphers and Protocols shows what is in force.";
    /// The schedule cannot make a key, or let one sign: tokens are signed with the former one.
    KEY_NOT_ROTATED = "keyNotRotated", Major,
        "Look at the reason; KeyManagement get lists the keys, and a full ring has room again when one is revoked.";
    /// A key is due to sign, and a node below KeyManagement/Peers is not known to hold it: the former one goes on.
    KEY_NOT_SHARED = "keyNotShared", Major,
        "KeyManagement getPeers tells which node does not answer, and why.";
    /// The key ring cannot be read: tokens are checked with the keys that were read last.
    KEYS_UNREADABLE = "keysUnreadable", Critical,
        "Look at the reason, and at keystore/ of the data directory; importKeys restores a ring from an export.";
    /// Log lines were lost, because what takes them was slower than they came or did not answer.
    LOG_LINES_LOST = "logLinesLost", Minor,
        "Look at the disk and at the syslog server; a higher severity in InputChannels makes fewer lines.";
    /// Log lines cannot be written to one of the outputs.
    LOG_OUTPUT_FAILING = "logOutputFailing", Minor,
        "Look at the reason and at System/Logging/OutputChannels.";
    /// There is no key to sign tokens with, and none may be made: requests for tokens get 503.
    NO_KEY = "noKey", Critical,
        "Look at the reason: a node below KeyManagement/Peers may be away; delete it there if it will not come back.";
    /// The node is locked: new work is refused.
    NODE_LOCKED = "nodeLocked", Minor,
        "Maintenance/ManagedObjects unlock, when the node is to serve again.";
    /// Clients of OpenClientServer cannot be led to any server of System/NetworkServers.
    OPEN_CLIENT_SERVER_FAILED = "bwOpenClientServerASConnFailed", Major,
        "Look at the reason, at System/NetworkServers, at name resolution and at the way out of this network.";
    /// The software failed at a place where it should not.
    PANIC = "panic", Major,
        "It is a defect of the software: report it with this place and the log lines before it.";
    /// A process has begun.
    PROCESS_STARTED = "processStarted", Informational, "Nothing.";
    /// A process ends, because it was told to.
    PROCESS_STOPPED = "processStopped", Informational, "Nothing, if it was meant.";
    /// A push provider refuses our configuration: no push of that kind arrives.
    PUSH_CONFIGURATION = "pushConfiguration", Major,
        "Look at the reason, and at the application's entries in NotificationPushServer/APNS or /FCM.";
    /// No access token for a push provider can be had: pushes fail once the last one has expired.
    PUSH_CREDENTIALS = "pushCredentials", Major,
        "Look at the reason: the key may be revoked, the clock wrong, or the provider out of reach.";
    /// A stored credential of a push provider cannot be used.
    PUSH_CREDENTIALS_UNUSABLE = "pushCredentialsUnusable", Major,
        "Add the key again from the file that the provider gave.";
    /// Most device tokens of an application are unknown to the provider: production and development may be mixed up.
    PUSH_ENVIRONMENT = "pushEnvironment", Warning,
        "Look whether the application's tokens belong to APNS/Production or APNS/Development.";
    /// A push provider cannot be reached: pushes are tried again until they are too old.
    PUSH_GATEWAY_UNREACHABLE = "pushGatewayUnreachable", Major,
        "Look at the reason, at the URL of the provider, at name resolution and at the way out of this network.";
    /// The refresh token of the identity provider is old: without a new one it expires.
    REFRESH_TOKEN_AGE = "refreshTokenAge", Major,
        "Get a new refresh token from the identity provider and set it: set refreshToken.";
    /// A new refresh token that the identity provider gave cannot be stored: it is lost when this process ends.
    REFRESH_TOKEN_NOT_STORED = "refreshTokenNotStored", Critical,
        "Look at the reason and at settings/ of the data directory; it is tried again by itself.";
    /// The identity provider does not take a refresh token: no access token of its users can be checked.
    REFRESH_TOKEN_REFUSED = "refreshTokenRefused", Critical,
        "Get a new refresh token from the identity provider and set it: set refreshToken. Look at clientId and clientSecret too.";
    /// A revocation list was due for renewal: unless acceptOutdatedLists is set, all certificates of its authority are refused.
    REVOCATION_LIST_OVERDUE = "revocationListOverdue", Critical,
        "Fetch the authority's current list and put it in place: RevocationLists updateCrl.";
    /// A task of Maintenance/Scheduler could not do its work.
    SCHEDULED_TASK_FAILED = "scheduledTaskFailed", Minor,
        "Look at the reason; Maintenance/Scheduler run does the task again at once, and status tells how it ended.";
    /// The settings were forced to something that a check warns of.
    SETTINGS_PROBLEM = "settingsProblem", Warning,
        "Look at the reason and set what it names; without force the check would have refused it.";
    /// The settings cannot be read: the process goes on with those it read last.
    SETTINGS_UNREADABLE = "settingsUnreadable", Critical,
        "Look at the reason and at settings/ of the data directory.";
    /// A token could not be signed: nobody can sign in anew.
    TOKEN_NOT_SIGNED = "tokenNotSigned", Critical,
        "Look at the reason; KeyManagement get shows the keys, rotate makes a new one.";
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn names_are_unique_and_everything_is_said() {
        for (index, alarm) in ALL.iter().enumerate() {
            assert!(
                !ALL[..index].iter().any(|other| other.name.eq_ignore_ascii_case(alarm.name)),
                "{}",
                alarm.name
            );
            assert!(alarm.meaning.ends_with('.') && alarm.action.ends_with('.'), "{}", alarm.name);
        }
    }

    fn sources(folder: &Path, text: &mut String) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, text);
            } else if path.extension().is_some_and(|end| end == "rs") {
                text.push_str(&std::fs::read_to_string(path).unwrap());
            }
        }
    }

    #[test]
    fn every_alarm_is_raised_somewhere() {
        let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut text = String::new();
        for entry in std::fs::read_dir(crates).unwrap() {
            let path = entry.unwrap().path();
            if !path.ends_with("alarms") && path.join("src").is_dir() {
                sources(&path.join("src"), &mut text);
            }
        }
        let own = include_str!("list.rs");
        let declared = own.lines().filter_map(|line| {
            let (name, rest) = line.trim().split_once(" = \"")?;
            (rest.ends_with(',') && name.chars().all(|c| c.is_ascii_uppercase() || c == '_')).then_some(name)
        });
        let mut count = 0;
        for name in declared {
            count += 1;
            assert!(text.contains(name), "{name} is never raised");
        }
        assert!(count >= ALL.len() - 2, "{count} of {} found", ALL.len());
    }
}
