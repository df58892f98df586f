//! Calls as one party sees them, call control, call logs.

use crate::{PortResult, UserId};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

/// Id of one party's half of a call, `callhalf-71:0` say; unique per user, safe in URLs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CallId(pub String);

/// A telephone address: an E.164 number, an extension or a SIP address, without scheme.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Address {
    /// `+15550100123`, `1002` or `sip:bo@lab.example`.
    pub value: String,
    /// Country code of an E.164 number, without `+`.
    pub country_code: Option<String>,
}

impl Address {
    /// The address of a number, an extension or a SIP address; numbers that begin with `+` get their country code.
    pub fn of(value: &str) -> Self {
        let country_code = value.strip_prefix('+').and_then(country_code).map(str::to_owned);
        Self { value: value.to_owned(), country_code }
    }
}

/// The country code that an E.164 number begins with (ITU-T E.164 Annex, list of 2016): zones 1 and 7 have one digit, the
/// pairs below two, all others three.
fn country_code(digits: &str) -> Option<&str> {
    const TWO: &[&str] = &[
        "20", "27", "30", "31", "32", "33", "34", "36", "39", "40", "41", "43", "44", "45", "46", "47", "48",
        "49", "51", "52", "53", "54", "55", "56", "57", "58", "60", "61", "62", "63", "64", "65", "66", "81",
        "82", "84", "86", "90", "91", "92", "93", "94", "95", "98",
    ];
    let length = match digits.as_bytes().first()? {
        b'1' | b'7' => 1,
        b'0' => return None,
        _ if digits.get(..2).is_some_and(|pair| TWO.contains(&pair)) => 2,
        _ => 3,
    };
    digits.get(..length)
}

/// Part of this party in the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CallPersonality {
    /// Asked for by a click, before the own phone is picked up.
    ClickToDial,
    /// Called.
    Originator,
    /// Was called.
    Terminator,
}

/// State of this party's half.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CallState {
    /// Ringing, at this or at the other side.
    Alerting,
    /// Talking.
    Active,
    /// Held by this party.
    Held,
    /// Held by the other party.
    RemoteHeld,
    /// Forwarded away, tracked only.
    Detached,
    /// Over.
    Released,
}

/// How the other party relates to this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CallType {
    /// Same group.
    Group,
    /// Same enterprise, another group.
    Enterprise,
    /// From or to outside.
    Network,
}

/// The other party.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteParty {
    /// Name, where known.
    pub name: Option<String>,
    /// Address.
    pub address: Address,
    /// User id, for parties of the same enterprise.
    pub user_id: Option<UserId>,
    /// Directory number, for parties of the same enterprise.
    pub user_dn: Option<Address>,
    /// Relation.
    pub call_type: CallType,
    /// Whether name and address must not be shown.
    pub private: bool,
}

/// Who ended the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReleasingParty {
    /// This party.
    Local,
    /// The other.
    Remote,
}

/// Why a call failed; absent on normal release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum InternalReleaseCause {
    /// The called party is busy or does not want to be disturbed.
    Busy,
    /// The called party takes no calls of this kind.
    Forbidden,
    /// Nobody answered in time.
    RequestTimeout,
    /// Not available now.
    TemporarilyUnavailable,
    /// No such number.
    UserNotFound,
}

/// Where this party's call was redirected to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redirect {
    /// New destination.
    pub address: Address,
    /// `unconditional`, `user-busy`, `no-answer`, `transfer`, `deflection`.
    pub reason: String,
    /// When, milliseconds since 1970.
    pub time: i64,
}

/// One party's half of a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// Id of this half.
    pub id: CallId,
    /// Shared by both halves.
    pub external_tracking_id: String,
    /// A SIP-like id of the whole call.
    pub network_call_id: String,
    /// Part of this party.
    pub personality: CallPersonality,
    /// State.
    pub state: CallState,
    /// Why it failed.
    pub release_cause: Option<InternalReleaseCause>,
    /// Who released it.
    pub releasing_party: Option<ReleasingParty>,
    /// The other party.
    pub remote: RemoteParty,
    /// Set when this party redirected the call.
    pub redirect: Option<Redirect>,
    /// Address of record of the device that the call is on.
    pub address_of_record: String,
    /// Line appearance.
    pub appearance: u32,
    /// Whether `Talk` would answer it.
    pub allow_answer: bool,
    /// When it began, milliseconds since 1970.
    pub start_time: i64,
    /// When it was answered.
    pub answer_time: Option<i64>,
    /// Since when this party holds it.
    pub held_time: Option<i64>,
    /// How long it was held before, milliseconds.
    pub total_held_time: Option<i64>,
    /// When it was detached.
    pub detached_time: Option<i64>,
    /// When it ended.
    pub release_time: Option<i64>,
}

/// Whether the user has a call up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum HookStatus {
    /// No call.
    OnHook,
    /// At least one call that is not released and not merely ringing in.
    OffHook,
}

/// A user's calls at one position of the feed: what an initial event is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallOverview {
    /// Events after this position are not in it.
    pub position: u64,
    /// Calls that are not released.
    pub calls: Vec<Call>,
    /// Hook status.
    pub hook_status: HookStatus,
}

/// Options of a dial request; more may come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DialOptions {
    /// Free text of the client, kept with the call.
    pub info: Option<String>,
    /// Id that the call is known by in the network, in place of one made up: both halves tell it.
    pub correlation_id: Option<String>,
}

/// What a dial request gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallStart {
    /// The caller's half.
    pub call_id: CallId,
    /// Shared by both halves.
    pub external_tracking_id: String,
}

/// What can be done with a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallAction {
    /// Answer an alerting incoming call, or retrieve a held one.
    Talk,
    /// Hold an active call.
    Hold,
    /// Retrieve it and release all other calls of the user.
    Reconnect,
    /// Release it; an alerting incoming call goes to its forwarding, or the caller hears that nobody answers.
    Release,
    /// Refuse an alerting incoming call as busy.
    Decline,
    /// Connect the other party to somebody else and leave.
    BlindTransfer {
        /// Where to.
        address: String,
    },
    /// Connect the other parties of two own calls and leave.
    ConsultTransfer {
        /// The other own call.
        other: CallId,
    },
}

/// Which call log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum CallLogKind {
    /// Outgoing.
    Placed,
    /// Incoming, answered.
    Received,
    /// Incoming, not answered.
    Missed,
}

/// One entry of a call log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallLogEntry {
    /// Which log.
    pub kind: CallLogKind,
    /// Number of the other party.
    pub number: Address,
    /// Its name; `Unavailable` where unknown.
    pub name: String,
    /// When the call began, milliseconds since 1970.
    pub time: i64,
    /// Id of the entry.
    pub call_log_id: String,
    /// Where the user's own services, or the user, sent the call on to.
    pub redirect: Option<Redirect>,
}

/// A page of one call log, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogPage {
    /// Entries.
    pub entries: Vec<CallLogEntry>,
    /// How many there are in all.
    pub total: usize,
}

/// Calls and call logs.
#[async_trait]
pub trait CallControl: Send + Sync {
    /// Starts a call: the user's own phone is taken to pick up at once, then the other side rings.
    ///
    /// # Errors
    /// `NotFound` for an unknown user, `Invalid` for an address that is none, `LimitReached`.
    async fn dial(&self, user: &UserId, address: &str, options: &DialOptions) -> PortResult<CallStart>;

    /// The user's calls that are not released.
    ///
    /// # Errors
    /// `NotFound` for an unknown user.
    async fn overview(&self, user: &UserId) -> PortResult<CallOverview>;

    /// One call of the user; released ones stay visible for a short time.
    ///
    /// # Errors
    /// `NotFound` for an unknown user or call.
    async fn call(&self, user: &UserId, call: &CallId) -> PortResult<Call>;

    /// Does something with a call. One transaction with its events.
    ///
    /// # Errors
    /// `NotFound`, `WrongState`, `Invalid`.
    async fn act(&self, user: &UserId, call: &CallId, action: &CallAction) -> PortResult<()>;

    /// A page of a call log, newest first; `start` is 1-based.
    ///
    /// # Errors
    /// `NotFound` for an unknown user.
    async fn call_log(
        &self,
        user: &UserId,
        kind: CallLogKind,
        start: usize,
        results: usize,
    ) -> PortResult<LogPage>;

    /// Empties the user's call logs.
    ///
    /// # Errors
    /// `NotFound` for an unknown user.
    async fn clear_call_logs(&self, user: &UserId) -> PortResult<()>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_their_country_code() {
        for (value, code) in [
            ("+442079460123", Some("44")),
            ("+12125550101", Some("1")),
            ("+353861234567", Some("353")),
            ("+0", None),
            ("+", None),
            ("1002", None),
            ("sip:bo@lab.example", None),
        ] {
            assert_eq!(Address::of(value).country_code.as_deref(), code, "{value}");
        }
    }
}
