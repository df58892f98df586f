//! What the application server asks for. Unknown members are ignored; known ones are checked, all mistakes at once.

use serde::Deserialize;
use std::collections::BTreeMap;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Largest body of a notification, bytes.
pub(crate) const MAX_BODY: usize = 256 * 1024;
/// Most targets of a notification.
const MAX_TARGETS: usize = 100;
/// Longest application id, version and token (section 3).
const MAX_LONG: usize = 2048;
/// Longest registration id (section 3).
const MAX_REGISTRATION_ID: usize = 1024;
/// Longest other text: ids of users and calls, names, numbers.
const MAX_TEXT: usize = 512;
/// Most entries of each kind of parameters (section 3).
const MAX_PARAMS: usize = 10;
/// Longest name of a parameter (section 3).
const MAX_PARAM_NAME: usize = 128;
/// Longest value of a parameter (section 3).
const MAX_PARAM_VALUE: usize = 1024;
/// Longest encrypted payload: base64 of what fits a push.
const MAX_ENCRYPTED: usize = 8192;
/// Mistakes named in one answer.
const MAX_PROBLEMS: usize = 20;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Event {
    CallEnded,
    CallUpdate,
    MissedCall,
    MobileCallInfo,
    Mwi,
    NewCall,
    RingSplash,
}

impl Event {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::CallEnded => "CALL_ENDED",
            Self::CallUpdate => "CALL_UPDATE",
            Self::MissedCall => "MISSED_CALL",
            Self::MobileCallInfo => "MOBILE_CALL_INFO",
            Self::Mwi => "MWI",
            Self::NewCall => "NEW_CALL",
            Self::RingSplash => "RING_SPLASH",
        }
    }
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "CALL_ENDED" => Self::CallEnded,
            "CALL_UPDATE" => Self::CallUpdate,
            "MISSED_CALL" => Self::MissedCall,
            "MOBILE_CALL_INFO" => Self::MobileCallInfo,
            "MWI" => Self::Mwi,
            "NEW_CALL" => Self::NewCall,
            "RING_SPLASH" => Self::RingSplash,
            _ => return None,
        })
    }
    /// Whether it belongs to a call that is under way, and is worthless later.
    pub(crate) fn of_call(self) -> bool {
        match self {
            Self::CallEnded | Self::CallUpdate | Self::MobileCallInfo | Self::NewCall | Self::RingSplash => {
                true
            }
            Self::MissedCall | Self::Mwi => false,
        }
    }
}

/// Why a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndReason {
    AnsweredElsewhere,
    Cancelled,
    Failed,
    Missed,
    Rejected,
}

impl EndReason {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::AnsweredElsewhere => "answered_elsewhere",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
            Self::Missed => "missed",
            Self::Rejected => "rejected",
        }
    }
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "answered_elsewhere" => Self::AnsweredElsewhere,
            "cancelled" => Self::Cancelled,
            "failed" => Self::Failed,
            "missed" => Self::Missed,
            "rejected" => Self::Rejected,
            _ => return None,
        })
    }
}

/// A caller or a called party, as a phone may show it.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Party {
    pub(crate) name: String,
    pub(crate) number: String,
}

/// The system of the phone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OsType {
    Android,
    Ios,
}

/// What a token is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenType {
    Normal,
    Voip,
}

/// Parameters that the app asked for when it registered.
#[derive(Clone, Default, Deserialize)]
pub(crate) struct Params {
    #[serde(default)]
    pub(crate) ios: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) android: BTreeMap<String, String>,
    #[serde(default, rename = "appData")]
    pub(crate) app_data: BTreeMap<String, String>,
}

/// A payload that the application server encrypted for the app; only relayed.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Encryption {
    pub(crate) key_identifier: String,
    pub(crate) algorithm: String,
    #[serde(default)]
    pub(crate) channel: String,
    pub(crate) encrypted_payload: String,
}

/// One token to push to.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) registration_id: String,
    pub(crate) application_id: String,
    pub(crate) os: OsType,
    pub(crate) token: String,
    pub(crate) token_type: TokenType,
    pub(crate) silent: bool,
    pub(crate) mutable_content: bool,
    pub(crate) params: Params,
    pub(crate) encryption: Option<Encryption>,
}

/// A notification whose every member was checked. A restricted caller is blank already: nothing behind this type ever
/// sees the name or number.
#[derive(Clone)]
pub(crate) struct Notification {
    pub(crate) id: String,
    pub(crate) event: Event,
    pub(crate) seq: u64,
    pub(crate) call_id: String,
    pub(crate) user_id: String,
    pub(crate) expires_at: Option<OffsetDateTime>,
    pub(crate) caller: Party,
    pub(crate) called: Party,
    pub(crate) media: Vec<String>,
    pub(crate) reason: Option<EndReason>,
    pub(crate) mobile_number: Option<String>,
    pub(crate) new_messages: Option<u32>,
    pub(crate) targets: Vec<Target>,
}

/// A mistake of the request. Never repeats a value: it may be a token or a caller.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(crate) struct SchemaProblem {
    /// JSON pointer without the leading slash: `targets/0/token`.
    pub(crate) field: String,
    pub(crate) reason: &'static str,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    notification_id: String,
    event: String,
    #[serde(default)]
    seq: u64,
    #[serde(default)]
    call_id: String,
    user_id: String,
    #[serde(default)]
    created_at: Option<String>,
    #[serde(default)]
    expires_at: Option<String>,
    #[serde(default)]
    caller: Option<RawParty>,
    #[serde(default)]
    called: Option<RawParty>,
    #[serde(default)]
    media: Vec<String>,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    mobile_number: Option<String>,
    #[serde(default)]
    new_messages: Option<u32>,
    targets: Vec<RawTarget>,
}

#[derive(Deserialize)]
struct RawParty {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    number: Option<String>,
    #[serde(default)]
    presentation: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawTarget {
    registration_id: String,
    application_id: String,
    device_os_type: String,
    token: String,
    #[serde(default)]
    token_type: Option<String>,
    #[serde(default)]
    silent: bool,
    #[serde(default)]
    mutable_content: bool,
    #[serde(default)]
    params: Option<Params>,
    #[serde(default)]
    encryption: Option<Encryption>,
}

/// Mistakes, collected.
#[derive(Default)]
struct Problems(Vec<SchemaProblem>);

impl Problems {
    fn add(&mut self, field: impl Into<String>, reason: &'static str) {
        if self.0.len() < MAX_PROBLEMS {
            self.0.push(SchemaProblem { field: field.into(), reason });
        }
    }
    fn text(&mut self, field: &str, text: &str, min: usize, max: usize) {
        if text.len() < min {
            self.add(field, "is empty");
        } else if text.len() > max {
            self.add(field, "is too long");
        } else if text.chars().any(char::is_control) {
            self.add(field, "has control characters");
        }
    }
    fn time(&mut self, field: &str, text: Option<&str>) -> Option<OffsetDateTime> {
        let text = text?;
        let time = OffsetDateTime::parse(text, &Rfc3339).ok();
        if time.is_none() {
            self.add(field, "is not an RFC 3339 time");
        }
        time
    }
    fn party(&mut self, field: &str, raw: Option<RawParty>) -> Party {
        let Some(raw) = raw else { return Party::default() };
        let party = Party { name: raw.name.unwrap_or_default(), number: raw.number.unwrap_or_default() };
        self.text(&format!("{field}/name"), &party.name, 0, MAX_TEXT);
        self.text(&format!("{field}/number"), &party.number, 0, MAX_TEXT);
        // Anything but a clear yes is a no: the caller's wish not to be shown is never lost to a spelling.
        match raw.presentation.as_deref() {
            None | Some("allowed") => party,
            Some(_) => Party::default(),
        }
    }
    fn params(&mut self, field: &str, params: &Params) {
        for (kind, entries) in
            [("ios", &params.ios), ("android", &params.android), ("appData", &params.app_data)]
        {
            if entries.len() > MAX_PARAMS {
                self.add(format!("{field}/{kind}"), "has too many entries");
            }
            for (name, value) in entries {
                self.text(&format!("{field}/{kind}"), name, 1, MAX_PARAM_NAME);
                self.text(&format!("{field}/{kind}"), value, 0, MAX_PARAM_VALUE);
            }
        }
    }
    fn target(&mut self, index: usize, raw: RawTarget) -> Option<Target> {
        let at = |name: &str| format!("targets/{index}/{name}");
        self.text(&at("registrationId"), &raw.registration_id, 1, MAX_REGISTRATION_ID);
        self.text(&at("applicationId"), &raw.application_id, 1, MAX_LONG);
        self.text(&at("token"), &raw.token, 1, MAX_LONG);
        let os = match raw.device_os_type.to_ascii_lowercase().as_str() {
            "android" => Some(OsType::Android),
            "ios" | "ipados" | "iphone os" => Some(OsType::Ios),
            _ => {
                self.add(at("deviceOsType"), "is neither ios nor android");
                None
            }
        };
        let token_type = match raw.token_type.as_deref() {
            None => Some(TokenType::Normal),
            Some(text) if text.eq_ignore_ascii_case("voip") => Some(TokenType::Voip),
            Some(text) if text.eq_ignore_ascii_case("normal") => Some(TokenType::Normal),
            Some(_) => {
                self.add(at("tokenType"), "is neither VoIP nor Normal");
                None
            }
        };
        let params = raw.params.unwrap_or_default();
        self.params(&at("params"), &params);
        if let Some(encryption) = &raw.encryption {
            self.text(&at("encryption/keyIdentifier"), &encryption.key_identifier, 1, 128);
            self.text(&at("encryption/algorithm"), &encryption.algorithm, 1, 64);
            self.text(&at("encryption/channel"), &encryption.channel, 0, 64);
            self.text(&at("encryption/encryptedPayload"), &encryption.encrypted_payload, 1, MAX_ENCRYPTED);
        }
        Some(Target {
            registration_id: raw.registration_id,
            application_id: raw.application_id,
            os: os?,
            token: raw.token,
            token_type: token_type?,
            silent: raw.silent,
            mutable_content: raw.mutable_content,
            params,
            encryption: raw.encryption,
        })
    }
}

impl Notification {
    /// Reads the body of a request.
    ///
    /// # Errors
    /// Every mistake of the body, at most 20.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, Vec<SchemaProblem>> {
        let raw: Raw = serde_json::from_slice(body).map_err(|error| {
            let reason = match error.classify() {
                serde_json::error::Category::Data => "a member is missing or has the wrong type",
                serde_json::error::Category::Syntax
                | serde_json::error::Category::Eof
                | serde_json::error::Category::Io => "is not JSON",
            };
            vec![SchemaProblem { field: String::new(), reason }]
        })?;
        let mut problems = Problems::default();
        problems.text("notificationId", &raw.notification_id, 1, 128);
        problems.text("userId", &raw.user_id, 1, MAX_TEXT);
        problems.text("callId", &raw.call_id, 0, MAX_TEXT);
        let event = Event::parse(&raw.event);
        if event.is_none() {
            problems.add("event", "is unknown");
        }
        problems.time("createdAt", raw.created_at.as_deref());
        let expires_at = problems.time("expiresAt", raw.expires_at.as_deref());
        if event.is_some_and(Event::of_call) {
            if raw.expires_at.is_none() {
                problems.add("expiresAt", "is missing");
            }
            if raw.call_id.is_empty() {
                problems.add("callId", "is missing");
            }
        }
        let reason = raw.reason.as_deref().and_then(EndReason::parse);
        if event == Some(Event::CallEnded) && reason.is_none() {
            problems.add("reason", "is missing or unknown");
        }
        if event == Some(Event::MobileCallInfo) && raw.mobile_number.as_deref().is_none_or(str::is_empty) {
            problems.add("mobileNumber", "is missing");
        }
        if let Some(number) = &raw.mobile_number {
            problems.text("mobileNumber", number, 0, 23);
        }
        if raw.media.len() > 8 || raw.media.iter().any(|media| media.len() > 32) {
            problems.add("media", "is too long");
        }
        if raw.targets.is_empty() {
            problems.add("targets", "is empty");
        } else if raw.targets.len() > MAX_TARGETS {
            problems.add("targets", "has more than 100 entries");
        }
        let caller = problems.party("caller", raw.caller);
        let called = problems.party("called", raw.called);
        let targets: Vec<Target> = raw
            .targets
            .into_iter()
            .take(MAX_TARGETS)
            .enumerate()
            .filter_map(|(index, target)| problems.target(index, target))
            .collect();
        match event {
            Some(event) if problems.0.is_empty() => Ok(Self {
                id: raw.notification_id,
                event,
                seq: raw.seq,
                call_id: raw.call_id,
                user_id: raw.user_id,
                expires_at,
                caller,
                called,
                media: raw.media,
                reason,
                mobile_number: raw.mobile_number,
                new_messages: raw.new_messages,
                targets,
            }),
            Some(_) | None => Err(problems.0),
        }
    }
}
