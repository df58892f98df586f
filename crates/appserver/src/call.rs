//! Calls as one party sees them, call control, call logs.

use crate::{AcdInfo, PortResult, UserId};
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

/// Why a call rings again at who had given it away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RecallType {
    /// The busy party did not get free in time.
    BusyCampOn,
    /// Nobody took the transferred call.
    CallTransfer,
    /// Nobody took the parked call.
    CallPark,
}

/// Why a call came here from where it was going before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redirection {
    /// Who sent it on.
    pub party: RemoteParty,
    /// Why, in the words of [`Redirect::reason`].
    pub reason: String,
    /// How often.
    pub counter: u32,
}

/// What kind of place a half is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PlaceKind {
    /// A location of BroadWorks Anywhere.
    BroadWorksAnywhere,
    /// A mobile of BroadWorks Mobility.
    Mobility,
    /// A number that rang together with or after the own device.
    Number,
    /// The number of Remote Office.
    RemoteOffice,
}

/// Where a half is that is not at the own device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// What kind.
    pub kind: PlaceKind,
    /// Its number.
    pub address: Address,
}

/// How far the recording of a call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RecordingState {
    /// It runs.
    Started,
    /// It waits.
    Paused,
}

/// What the user may do with the recording now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RecordingControls {
    /// Nothing.
    #[default]
    None,
    /// Begin it.
    Record,
    /// Pause it.
    Pause,
    /// Pause or end it.
    PauseStop,
    /// Go on.
    Resume,
    /// Go on or end it.
    ResumeStop,
}

/// The recording of a call; there for who has the service.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recording {
    /// How far it is, while there is one.
    pub state: Option<RecordingState>,
    /// Whether anything of the call was recorded.
    pub recorded: bool,
    /// What may be done with it.
    pub controls: RecordingControls,
}

/// Where this party's call was redirected to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redirect {
    /// New destination.
    pub address: Address,
    /// `unconditional`, `user-busy`, `do-not-disturb`, `no-answer`, `unavailable`, `away`, `voicemail`, `transfer`, `deflection`.
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
    /// How an unanswered incoming call came here, the last redirection first.
    #[serde(default)]
    pub redirections: Vec<Redirection>,
    /// Where it is, if not at the own device.
    #[serde(default)]
    pub place: Option<Place>,
    /// Why it rings again.
    #[serde(default)]
    pub recall: Option<RecallType>,
    /// Its recording, for who has the service.
    #[serde(default)]
    pub recording: Option<Recording>,
    /// Whether it is part of the user's conference.
    #[serde(default)]
    pub in_conference: bool,
    /// The queue that it comes from.
    #[serde(default)]
    pub acd: Option<AcdInfo>,
}

/// A call in a conference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Participant {
    /// The user's half.
    pub call: CallId,
    /// Is not heard.
    pub muted: bool,
    /// Hears nothing.
    pub deaf: bool,
}

/// The conference of a user: several of its calls, joined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conference {
    /// `Active`, `Held` or `Released`.
    pub state: CallState,
    /// Address of record of the device that it is on.
    pub address_of_record: String,
    /// Line appearance.
    pub appearance: u32,
    /// Whether the user is not heard in it.
    pub muted: bool,
    /// Its calls.
    pub participants: Vec<Participant>,
}

/// What can be done with a conference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConferenceAction {
    /// Make one of two calls.
    Start(CallId, CallId),
    /// Join another call to it.
    Add(CallId),
    /// Release one of its calls.
    Drop(CallId),
    /// Mute or unmute one of its calls.
    MuteCall(CallId, bool),
    /// Make one of its calls deaf, or let it hear again.
    DeafenCall(CallId, bool),
    /// Mute or unmute the user.
    Mute(bool),
    /// Hold all of it.
    Hold,
    /// Retrieve all of it.
    Talk,
    /// Release all of it.
    Release,
}

/// A call of others that a user takes or joins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PickUp {
    /// The call that rings longest in the own group.
    Group,
    /// The call that rings at somebody of the own group.
    Directed {
        /// Who.
        address: String,
    },
    /// The call that is parked against somebody of the own enterprise.
    Parked {
        /// Against whom.
        address: String,
    },
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
    /// The user's conference.
    pub conference: Option<Conference>,
}

/// Which of the user's places a call is made from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DialLocation {
    /// Wherever the services say: Remote Office, all locations, or the own device.
    #[default]
    Usual,
    /// The own device and all locations; the first that answers.
    All,
    /// The own device.
    Primary,
    /// The locations of BroadWorks Anywhere, or the one that is named.
    BroadWorksAnywhere,
    /// The mobiles of BroadWorks Mobility, or the one that is named.
    Mobility,
}

/// Options of a dial request; more may come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DialOptions {
    /// Free text of the client, kept with the call.
    pub info: Option<String>,
    /// Id that the call is known by in the network, in place of one made up: both halves tell it.
    pub correlation_id: Option<String>,
    /// Where the call is made from.
    pub location: DialLocation,
    /// Number of the location.
    pub location_address: Option<String>,
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
    /// Send an alerting incoming call on.
    Deflect {
        /// Where to.
        address: String,
    },
    /// Connect the other party to a mailbox and leave.
    VmTransfer {
        /// Whose; the own one where it is not given.
        address: Option<String>,
    },
    /// Leave the other party waiting until somebody retrieves it.
    Park {
        /// Against whom; against oneself where it is not given.
        address: Option<String>,
    },
    /// The same, against whoever of the group has nothing parked yet.
    GroupPark,
    /// Let the other side hear digits.
    Dtmf {
        /// `0` to `9`, `A` to `D`, `*`, `#`, and `,` for a pause.
        digits: String,
    },
    /// Begin to record it.
    Record,
    /// End the recording.
    StopRecording,
    /// Let the recording wait.
    PauseRecording,
    /// Let it go on.
    ResumeRecording,
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
    /// How an incoming call came here, the last redirection first.
    pub redirections: Vec<Redirection>,
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
    /// `NotFound` for an unknown user, `Invalid` for an address or location that is none, `NotAssigned` for a location of a
    /// service that the user does not have, `LimitReached`.
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

    /// Does something with a call. One transaction with its events. Gives the address that it was parked against.
    ///
    /// # Errors
    /// `NotFound`, `WrongState`, `Invalid`, `NotAssigned`.
    async fn act(&self, user: &UserId, call: &CallId, action: &CallAction) -> PortResult<Option<Address>>;

    /// Takes a call of others.
    ///
    /// # Errors
    /// `NotFound` when there is no such user or call, `Invalid`, `LimitReached`.
    async fn pick_up(&self, user: &UserId, what: &PickUp) -> PortResult<CallStart>;

    /// Who is parked against the user, with the feed position at which that holds.
    ///
    /// # Errors
    /// `NotFound` for an unknown user.
    async fn parked(&self, user: &UserId) -> PortResult<(u64, Option<RemoteParty>)>;

    /// The user's conference.
    ///
    /// # Errors
    /// `NotFound` for an unknown user, or when there is none.
    async fn conference(&self, user: &UserId) -> PortResult<Conference>;

    /// Does something with the user's conference.
    ///
    /// # Errors
    /// `NotFound`, `WrongState`.
    async fn confer(&self, user: &UserId, action: &ConferenceAction) -> PortResult<()>;

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
