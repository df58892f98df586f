//! Contexts of the `AS_CLI` tree that work on the access tier touches; cli.md 5.9. What the embedded application server reads
//! itself is wired; what belongs to its face towards telephones (SIP) is kept for the adapter that has one.

use openadp_settings::{
    Action, ActionOutput, Context, Kind, Parameter, Problem, Rights, Secret, Settings, Snapshot, Tree,
    Unused, context,
};
use std::net::IpAddr;

const LATER: Unused = Unused::Later;

context! {
    /// Device types of telephones and apps: how they are talked to and where their files are.
    pub struct DeviceType = Context::table(Tree::As, "System/DeviceType/SIP")
        .initial(&[
            &["Business Communicator - PC", "bc/pc/"],
            &["Connect - Mobile", "connect/mobile/"],
            &["Connect - Tablet", "connect/tablet/"],
        ])
        .without(&["add", "delete"]) => {
        /// Name of the type.
        pub device_type: String =
            Parameter::new("deviceType", Kind::text(1, 80)).header("Device Type").key().left();
        /// Whether telephones of the type are told who is at the other end when that changes.
        pub support_remote_party_info: bool = Parameter::new("supportRemotePartyInfo", Kind::Boolean)
            .default("false").header("Support Remote Party Info").unused(LATER);
        /// Encoding of the files that devices of the type fetch; UTF-8 where none is set. What ISO-8859-1 cannot hold is
        /// written by reference in XML, and as a question mark in plain text.
        pub encoding: Option<String> = Parameter::new("defaultDeviceEncoding", Kind::Choice(&["ISO-8859-1", "UTF-8"]))
            .header("Default Device Encoding");
        /// Language of devices of the type, en_US say: what the tag %BWLANGUAGE-1% of their files stands for.
        pub language: Option<String> = Parameter::new("defaultDeviceLanguage", Kind::text(1, 40))
            .header("Default Device Language");
        /// First part of the path of the URLs that devices of the type are given; the one of System/DeviceAccess where
        /// none is set.
        pub context_name: Option<String> =
            Parameter::new("deviceAccessContextName", Kind::text(1, 80)).header("Device Access Context Name");
        /// Folder of the files of the type below it, bc/pc/ say.
        pub uri: String =
            Parameter::new("deviceAccessURI", Kind::text(1, 80)).header("Device Access URI").mandatory();
    }
}

const ACTIVATE: Action = Action {
    name: "activate",
    help: "Activates a feature. Every feature of this build is active, so nothing changes.",
    arguments: &[Parameter::new("number", Kind::integer(1, 9_999_999))
        .mandatory()
        .help("Number of the feature.")],
    run: |_, arguments| {
        let number = arguments.first().and_then(Option::as_deref).unwrap_or_default();
        Ok(ActionOutput {
            lines: vec![format!(
                "Feature {number} is not listed: what this build has of it is active already."
            )],
            ..ActionOutput::default()
        })
    },
};

const LIST_FEATURES: Action = Action {
    name: "get",
    help: "Lists the features that wait for being activated; this build has none.",
    arguments: &[],
    run: |_, _| {
        let header = "  Identity  Description  Activated";
        Ok(ActionOutput {
            lines: vec![
                header.to_owned(),
                "=".repeat(header.len()),
                String::new(),
                "0 entry found.".to_owned(),
            ],
            query: true,
            ..ActionOutput::default()
        })
    },
};

context! {
    /// Features that are delivered inactive and activated one by one. Here all are active.
    pub struct ActivatableFeature = Context::actions_only(Tree::As, "System/ActivatableFeature")
        .action_needs(&[("get", Rights::View)])
        .actions(&[LIST_FEATURES, ACTIVATE]) => {}
}

context! {
    /// Addresses that may use the provisioning interface OCI-P. The embedded application server does not offer it; OCIProxy of
    /// OpenClientServer lets them through to another server, and nobody else.
    pub struct OciAccess = Context::table(Tree::As, "System/NetworkAccessLists/OCI/Provisioning") => {
        /// Address that may connect.
        pub address: IpAddr =
            Parameter::new("address", Kind::IpAddress).header("Address").key().left();
        /// What it is.
        pub description: String =
            Parameter::new("description", Kind::text(0, 80)).header("Description").mandatory().left();
    }
}

context! {
    /// What happens to new calls when the machine runs short of memory or has too much to do.
    pub struct OverloadControls = Context::single(Tree::As, "System/OverloadControls") => {
        /// Whether load is watched.
        pub enabled: bool = Parameter::new("enabled", Kind::Boolean).default("false");
        /// What is done with a new call in the red zone: error refuses it at once; drop leaves it without an answer, so that
        /// its client tries again later than it would after a refusal; redirect has nowhere to lead it here, and refuses it.
        pub sip_overload_action: String =
            Parameter::new("sipOverloadAction", Kind::Choice(&["drop", "redirect", "error"])).default("error");
        /// Use of the machine's memory at which the yellow zone begins: new calls are held up for half a second.
        pub percent_yellow: u32 = Parameter::new("percentMemoryInUseToEnterYellow", Kind::integer(1, 100))
            .default("85").unit("percent");
        /// Use of the machine's memory at which the red zone begins: there are no new calls.
        pub percent_red: u32 = Parameter::new("percentMemoryInUseToEnterRed", Kind::integer(1, 100))
            .default("90").unit("percent");
        /// Time that a new call may wait for its turn; one that has waited longer is refused.
        pub max_age: u32 = Parameter::new("maxPacketAgeInMsecs", Kind::integer(100, 60_000))
            .default("3000").unit("milliseconds");
        /// The same in the yellow zone.
        pub max_age_overload: u32 = Parameter::new("maxPacketAgeDuringOverloadInMsecs", Kind::integer(100, 60_000))
            .default("1500").unit("milliseconds");
    }
}

context! {
    /// Registrations. Apps register for pushes; this application server has no registrar for SIP.
    pub struct Registration = Context::single(Tree::As, "System/Registration") => {
        /// How long a registration is kept beyond its age (maximumRegistrationAgeDays of System/PushNotification).
        pub extension_time: u32 = Parameter::new("extensionTimeInSeconds", Kind::integer(0, 86_400))
            .default("2400").unit("seconds");
    }
}

context! {
    /// Signatures of calling numbers.
    pub struct StirShaken = Context::single(Tree::As, "System/StirShaken") => {
        /// Whether signatures of incoming calls are verified.
        pub enable_verification: bool =
            Parameter::new("enableVerification", Kind::Boolean).default("false").unused(LATER);
    }
}

context! {
    /// Synchronisation of subscribers with a messaging cloud.
    pub struct Messaging = Context::single(Tree::As, "Interface/Messaging") => {
        /// URL of the provisioning adapter.
        pub url: Option<String> =
            Parameter::new("provisioningUrl", Kind::Url(&["https"])).unused(LATER);
        /// Account there.
        pub user_id: String = Parameter::new("provisioningUserId", Kind::text(1, 161)).unused(LATER);
        /// Its password.
        pub password: Secret = Parameter::new("provisioningPassword", Kind::secret(256)).unused(LATER);
        /// Whether subscribers are synchronised.
        pub enable_synchronization: bool =
            Parameter::new("enableSynchronization", Kind::Boolean).default("false").unused(LATER);
    }
}

context! {
    /// Signalling towards telephones and networks.
    pub struct Sip = Context::single(Tree::As, "Interface/SIP") => {
        /// Whether the id that correlates a call (enableCallCorrelationID of Xsi-Actions) is told to a called party of
        /// another enterprise, as its networkCallId.
        pub correlation_network: bool =
            Parameter::new("sendCallCorrelationIDNetwork", Kind::Boolean).default("false");
        /// Whether it is told to a called party of the same enterprise.
        pub correlation_access: bool =
            Parameter::new("sendCallCorrelationIDAccess", Kind::Boolean).default("false");
        /// Whether TCP is spoken beside UDP.
        pub support_tcp: bool = Parameter::new("supportTcp", Kind::Boolean).default("true").unused(LATER);
        /// Whether holding or retrieving a call again right after the last time waits. The request is answered at once.
        pub delay_quick_reinvite: bool =
            Parameter::new("enableDelayQuickReInvite", Kind::Boolean).default("false");
        /// How long after the last time it is done then.
        pub delay_millis: u32 = Parameter::new("delayQuickReInviteMilliseconds", Kind::integer(100, 10_000))
            .default("1000").unit("milliseconds");
    }
}

context! {
    /// Interworking with an IP multimedia subsystem.
    pub struct Ims = Context::single(Tree::As, "Interface/IMS") => {
        /// Whether a network server is asked for the URL of a called number. There is none here.
        pub query_ns: bool =
            Parameter::new("queryNSForNetworkURL", Kind::Boolean).default("false").unused(Unused::Never);
    }
}

context! {
    /// The device activation service.
    pub struct Das = Context::single(Tree::As, "Interface/DAS") => {
        /// URL of the service.
        pub url: Option<String> = Parameter::new("url", Kind::Url(&["https"])).unused(LATER);
    }
}

context! {
    /// Instant messaging and presence.
    pub struct IntegratedImp = Context::single(Tree::As, "Service/IntegratedIMP") => {
        /// Domain of the subscribers' messaging addresses: the impId of a profile is the first part of the user id and this.
        pub service_domain: Option<String> = Parameter::new("serviceDomain", Kind::Host);
    }
}

context! {
    /// How instant messaging and presence is assigned.
    pub struct IntegratedImpDefaults = Context::single(Tree::As, "Service/IntegratedIMP/DefaultAttribute") => {
        /// Whether it is active for subscribers: they have a messaging address where there is a domain.
        pub active: bool = Parameter::new("userAttrIsActive", Kind::Boolean).default("false");
    }
}

context! {
    /// Voice messages.
    pub struct VoiceMessaging = Context::single(Tree::As, "Service/VoiceMsg") => {
        /// Format of the recordings.
        pub format: String = Parameter::new("vmRecordingAudioFileFormat", Kind::Choice(&["WAV", "MP3"]))
            .default("WAV").unused(LATER);
    }
}

const RELOAD: Action = Action {
    name: "reload",
    help: "Has the addresses of names looked up anew. They are asked of the machine's resolver whenever a connection is made, \
           so nothing is kept that could be old.",
    arguments: &[],
    run: |_, _| {
        Ok(ActionOutput {
            lines: vec!["No addresses are kept; each new connection asks the machine's resolver.".to_owned()],
            ..ActionOutput::default()
        })
    },
};

context! {
    /// Addresses of names, as the application server knows them.
    pub struct Dns = Context::actions_only(Tree::As, "ASDiagnostic/DNS").actions(&[RELOAD]) => {}
}

context! {
    /// The same of its part that handles calls.
    pub struct DnsExecution =
        Context::actions_only(Tree::As, "ASDiagnostic/DNS/ExecutionServer").actions(&[RELOAD]) => {}
}

context! {
    /// The same of its part that is administered.
    pub struct DnsProvisioning =
        Context::actions_only(Tree::As, "ASDiagnostic/DNS/ProvisioningServer").actions(&[RELOAD]) => {}
}

impl DeviceType {
    /// The folder in the one form that paths are compared with.
    pub(crate) fn folder(&self) -> String {
        format!("{}/", self.uri.trim_matches('/'))
    }
}

/// What a path may be made of.
const FOLDER_CHARACTERS: &str = "letters, digits and . - _ /";

/// Folders and first parts of paths must be ones that a request can name, and no two types may share a folder.
pub(crate) fn check(snapshot: &Snapshot) -> Vec<Problem> {
    let good = |text: &str| {
        let text = text.trim_matches('/');
        text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'.' | b'-' | b'_'))
            && text.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
    };
    let rows = snapshot.rows::<DeviceType>();
    let mut problems = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        let problem = |parameter: &'static str, reason: String| {
            Problem::new(DeviceType::CONTEXT.full_path(), reason).parameter(parameter)
        };
        let context_name = row.context_name.as_deref().map(|name| ("deviceAccessContextName", name));
        for (parameter, text) in context_name.into_iter().chain([("deviceAccessURI", row.uri.as_str())]) {
            if !good(text) {
                problems.push(
                    problem(parameter, format!("'{}' is no path of a request", text.escape_debug()))
                        .hint(format!("parts of {FOLDER_CHARACTERS}, none of them empty or only dots")),
                );
            }
        }
        if let Some(other) = rows[..index].iter().find(|other| other.folder() == row.folder()) {
            problems.push(problem(
                "deviceAccessURI",
                format!("the folder is that of {} already", other.device_type),
            ));
        }
    }
    problems
}
