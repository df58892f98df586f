//! A subscriber as the engine sees it: where its calls may ring and what its services say of them.

use super::criteria::{Caller, Criterion, selects};
use super::{Dialled, Refusal};
use openadp_appserver::{
    ACTIVE, ANSWER_CONFIRMATION, CRITERIA, CRITERIA_LIST, LOCATIONS, NUMBER_OF_RINGS, PHONE_NUMBER, PREFIX,
    PlaceKind, RECORDING_MODE, REMOTE_OFFICE_NUMBER, SEQUENTIAL_LOCATIONS, SIM_RING_LOCATIONS, SPEED_CODE,
    SPEED_DIAL_8, SPEED_DIAL_100, Service, ServiceKind, Settings, UserId,
};
use std::collections::BTreeMap;

/// What is dialled before a code of Speed Dial 100, where nothing else is set.
const DEFAULT_PREFIX: &str = "#";
/// Rings before an unanswered call goes to the mailbox, where nothing else is set.
const MAILBOX_RINGS: u32 = 3;

/// A place to ring beside, after or in place of the own device; not looked up yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// What kind of place.
    pub(crate) kind: PlaceKind,
    /// Its number.
    pub(crate) number: String,
    /// Whether who answers must press a key first.
    pub(crate) confirm: bool,
    /// How long it rings, where it rings after others.
    pub(crate) rings: Option<u32>,
}

/// Where a call rings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RingPlan {
    /// The own device does not ring.
    pub(crate) away: bool,
    /// Rings of the first places, where others follow.
    pub(crate) first_rings: Option<u32>,
    /// Places: those without rings at once, the others one after the other.
    pub(crate) wanted: Vec<Wanted>,
}

/// Sequential Ring.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Sequential {
    base_first: bool,
    base_rings: u32,
    when_busy: bool,
    places: Vec<Wanted>,
    criteria: Vec<Criterion>,
}

/// Simultaneous Ring Personal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Simultaneous {
    idle_only: bool,
    places: Vec<Wanted>,
    criteria: Vec<Criterion>,
}

/// A mailbox, and which calls go there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Mailbox {
    always: bool,
    busy: bool,
    no_answer: bool,
    rings: u32,
    on_zero: Option<String>,
}

/// BroadWorks Mobility, while active.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Mobility {
    /// The own device rings.
    fixed: bool,
    /// Mobiles ring.
    mobile: bool,
    /// So do the locations of BroadWorks Anywhere.
    anywhere: bool,
    places: Vec<Wanted>,
    /// Mobiles from which calls are made.
    dials: Vec<Wanted>,
}

/// Personal Assistant, while its owner is away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Assistant {
    attendant: Option<String>,
    alerts_first: bool,
    rings: u32,
    excluded: Vec<Dialled>,
}

/// What is done with transferred calls that come back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct TransferRules {
    /// Rings after which a transferred call comes back.
    pub(crate) recall_rings: Option<u32>,
    /// Seconds for which a transferred call waits for a busy party.
    pub(crate) camp_seconds: Option<u32>,
    /// Transferred calls are not forwarded.
    pub(crate) inhibits: bool,
}

/// A subscriber as the engine sees it.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a service that is on or off")]
pub(crate) struct Party {
    pub(crate) user_id: UserId,
    pub(crate) provider: String,
    pub(crate) group: String,
    pub(crate) is_enterprise: bool,
    pub(crate) name: String,
    pub(crate) number: Option<String>,
    pub(crate) extension: Option<String>,
    pub(crate) country_code: String,
    pub(crate) line_port: String,
    pub(crate) off_hook: bool,
    pub(crate) do_not_disturb: bool,
    /// Call Forwarding Always, where active.
    pub(crate) always: Option<String>,
    /// Call Forwarding Busy, where active.
    pub(crate) busy: Option<String>,
    /// Call Forwarding No Answer, where active, with its rings.
    pub(crate) no_answer: Option<(String, u32)>,
    /// Call Forwarding Not Reachable, where active.
    pub(crate) not_reachable: Option<String>,
    /// Takes a call while it has another.
    pub(crate) call_waiting: bool,
    /// Does not show those whom it calls who it is.
    pub(crate) hides_itself: bool,
    /// Sees who calls although they hide it.
    pub(crate) sees_hidden: bool,
    /// Takes no call of somebody who hides.
    pub(crate) refuses_hidden: bool,
    /// Is shown who calls from inside, and from outside.
    pub(crate) shown_callers: (bool, bool),
    /// Does not show who calls whom they reached.
    pub(crate) hides_connected: bool,
    /// Is shown whom it reached.
    pub(crate) sees_connected: bool,
    /// What it dials for which number.
    pub(crate) speed_dials: BTreeMap<String, String>,
    /// Call Recording, where assigned.
    pub(crate) recording: Option<RecordingMode>,
    /// Call Transfer.
    pub(crate) transfer: TransferRules,
    /// Sees the names of those who call from outside.
    pub(crate) sees_names: bool,
    /// Its apps are woken without a sound.
    pub(crate) silent: bool,
    /// Its apps are woken for calls that it makes itself.
    pub(crate) wakes_for_own_calls: bool,
    /// What it is as a call centre.
    pub(crate) center: Option<super::queue::Center>,
    /// What it is as an agent.
    pub(crate) agent: Option<super::queue::AgentOf>,
    remote_office: Option<String>,
    mobility: Option<Mobility>,
    anywhere: Vec<Wanted>,
    anywhere_dials: bool,
    selective: Option<(String, Vec<Criterion>)>,
    rejects: Vec<Criterion>,
    accepts: Vec<Criterion>,
    simultaneous: Option<Simultaneous>,
    sequential: Option<Sequential>,
    mailbox: Option<Mailbox>,
    assistant: Option<Assistant>,
}

/// When a subscriber's calls are recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RecordingMode {
    Always,
    AlwaysPauseResume,
    Never,
    OnDemand,
    OnDemandUserStart,
}

/// What becomes of a call that nobody answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unanswered {
    /// Where it goes.
    pub(crate) to: Dialled,
    /// After how many rings.
    pub(crate) rings: u32,
    /// Why, in the wire's words (xsi.md section 3.7).
    pub(crate) reason: &'static str,
}

fn parsed(number: &str) -> Option<Dialled> {
    Dialled::parse(number).ok()
}

impl Party {
    /// Somebody who has nothing yet.
    pub(crate) fn of(user_id: UserId) -> Self {
        Self {
            user_id,
            provider: String::new(),
            group: String::new(),
            is_enterprise: false,
            name: String::new(),
            number: None,
            extension: None,
            country_code: String::new(),
            line_port: String::new(),
            off_hook: false,
            do_not_disturb: false,
            always: None,
            busy: None,
            no_answer: None,
            not_reachable: None,
            call_waiting: false,
            hides_itself: false,
            sees_hidden: false,
            refuses_hidden: false,
            shown_callers: (false, false),
            hides_connected: false,
            sees_connected: false,
            speed_dials: BTreeMap::new(),
            recording: None,
            transfer: TransferRules::default(),
            sees_names: false,
            silent: false,
            wakes_for_own_calls: false,
            center: None,
            agent: None,
            remote_office: None,
            mobility: None,
            anywhere: Vec::new(),
            anywhere_dials: false,
            selective: None,
            rejects: Vec::new(),
            accepts: Vec::new(),
            simultaneous: None,
            sequential: None,
            mailbox: None,
            assistant: None,
        }
    }

    /// Takes over what a service says.
    pub(crate) fn apply(&mut self, service: &Service) {
        let forwards_to = service.forwards_to().map(str::to_owned);
        let (settings, active) = (&service.settings, service.is_active());
        match service.kind {
            ServiceKind::AnonymousCallRejection => self.refuses_hidden = active,
            ServiceKind::BroadWorksAnywhere => self.take_locations(settings),
            ServiceKind::BroadWorksMobility => self.take_mobiles(settings),
            ServiceKind::CallForwardingAlways => self.always = forwards_to,
            ServiceKind::CallForwardingBusy => self.busy = forwards_to,
            ServiceKind::CallForwardingNoAnswer => {
                let rings = settings.integer(NUMBER_OF_RINGS).unwrap_or_default();
                self.no_answer = forwards_to.map(|to| (to, rings));
            }
            ServiceKind::CallForwardingNotReachable => self.not_reachable = forwards_to,
            ServiceKind::CallForwardingSelective => {
                let to = settings.text("defaultForwardToPhoneNumber").filter(|_| active);
                self.selective = to.map(|to| (to.to_owned(), Criterion::all(settings.entries(CRITERIA))));
            }
            ServiceKind::CallRecording => {
                self.recording = Some(match settings.text(RECORDING_MODE) {
                    Some("always") => RecordingMode::Always,
                    Some("always-pause-resume") => RecordingMode::AlwaysPauseResume,
                    Some("on-demand") => RecordingMode::OnDemand,
                    Some("on-demand-user-start") => RecordingMode::OnDemandUserStart,
                    _ => RecordingMode::Never,
                });
            }
            ServiceKind::CallTransfer => {
                let number = |flag, name| settings.integer(name).filter(|_| settings.flag(flag));
                self.transfer = TransferRules {
                    recall_rings: number("recallActive", "recallNumberOfRings"),
                    camp_seconds: number("busyCampOnActive", "busyCampOnSeconds"),
                    inhibits: settings.flag("useDiversionInhibitorForBlindTransfer"),
                };
            }
            ServiceKind::CallWaiting => self.call_waiting = active,
            ServiceKind::CallingNameRetrieval => self.sees_names = active,
            ServiceKind::CallingLineIdBlockingOverride => self.sees_hidden = active,
            ServiceKind::CallingLineIdDeliveryBlocking => self.hides_itself = active,
            ServiceKind::ConnectedLineIdentificationPresentation => self.sees_connected = active,
            ServiceKind::ConnectedLineIdentificationRestriction => self.hides_connected = active,
            ServiceKind::DoNotDisturb => self.do_not_disturb = active,
            ServiceKind::ExternalCallingLineIdDelivery => self.shown_callers.1 = active,
            ServiceKind::InternalCallingLineIdDelivery => self.shown_callers.0 = active,
            ServiceKind::PersonalAssistant => self.take_assistant(settings),
            ServiceKind::PushNotification => {
                self.wakes_for_own_calls = settings.flag("sendPushNotificationForClickToDial");
            }
            ServiceKind::SilentAlerting => self.silent = active,
            ServiceKind::RemoteOffice => {
                self.remote_office =
                    settings.text(REMOTE_OFFICE_NUMBER).filter(|_| active).map(str::to_owned);
            }
            ServiceKind::SelectiveCallAcceptance => self.accepts = Criterion::all(settings.entries(CRITERIA)),
            ServiceKind::SelectiveCallRejection => self.rejects = Criterion::all(settings.entries(CRITERIA)),
            ServiceKind::SequentialRing => self.take_sequence(settings),
            ServiceKind::SimultaneousRingPersonal => {
                self.simultaneous = active.then(|| Simultaneous {
                    idle_only: settings.text("incomingCalls") == Some("Do not Ring if on a Call"),
                    places: settings
                        .entries(SIM_RING_LOCATIONS)
                        .iter()
                        .filter_map(|entry| wanted(entry, "address", PlaceKind::Number))
                        .collect(),
                    criteria: Criterion::all(settings.entries(CRITERIA_LIST)),
                });
            }
            ServiceKind::SpeedDial100 => {
                let prefix = settings.text(PREFIX).unwrap_or(DEFAULT_PREFIX);
                self.take_codes(prefix, settings.entries(SPEED_DIAL_100));
            }
            ServiceKind::SpeedDial8 => self.take_codes("", settings.entries(SPEED_DIAL_8)),
            ServiceKind::VoiceMessaging => {
                self.mailbox = active.then(|| Mailbox {
                    always: settings.flag("alwaysRedirectToVoiceMail"),
                    busy: settings.flag("busyRedirectToVoiceMail"),
                    no_answer: settings.flag("noAnswerRedirectToVoiceMail"),
                    rings: settings.integer("noAnswerNumberOfRings").unwrap_or(MAILBOX_RINGS),
                    on_zero: settings
                        .text("transferPhoneNumber")
                        .filter(|_| settings.flag("transferOnZeroToPhoneNumber"))
                        .map(str::to_owned),
                });
            }
        }
    }

    /// A service was taken away.
    pub(crate) fn lose(&mut self, kind: ServiceKind) {
        match kind {
            ServiceKind::CallRecording => self.recording = None,
            _ => self.apply(&Service { kind, settings: Settings::default() }),
        }
    }

    fn take_codes(&mut self, prefix: &str, entries: &[Settings]) {
        for entry in entries {
            if let (Some(code), Some(number)) = (entry.text(SPEED_CODE), entry.text(PHONE_NUMBER)) {
                self.speed_dials.insert(format!("{prefix}{code}"), number.to_owned());
            }
        }
    }

    fn take_locations(&mut self, settings: &Settings) {
        self.anywhere_dials = settings.flag("alertAllLocationsForClickToDialCalls");
        let active = settings.entries(LOCATIONS).iter().filter(|entry| entry.flag(ACTIVE));
        self.anywhere =
            active.filter_map(|entry| wanted(entry, PHONE_NUMBER, PlaceKind::BroadWorksAnywhere)).collect();
    }

    fn take_mobiles(&mut self, settings: &Settings) {
        let policy =
            settings.group("profileIdentity").and_then(|identity| identity.group("profileAlertingPolicy"));
        let devices = policy.and_then(|policy| policy.text("devicesToRing")).unwrap_or("Both");
        let mobiles = |flag: &str| -> Vec<Wanted> {
            let entries = settings.entries("mobileIdentity").iter().filter(|entry| entry.flag(flag));
            entries.filter_map(|entry| wanted(entry, "mobileNumber", PlaceKind::Mobility)).collect()
        };
        self.mobility = settings.flag(ACTIVE).then(|| Mobility {
            fixed: devices != "Mobile",
            mobile: devices != "Fixed",
            anywhere: policy.is_none_or(|policy| policy.flag("includeBroadWorksAnywhere")),
            places: mobiles("enableAlerting"),
            dials: mobiles("alertClickToDialCalls"),
        });
    }

    fn take_assistant(&mut self, settings: &Settings) {
        let away = settings.text("presence").is_some_and(|presence| presence != "None");
        let attendant =
            settings.text("attendantNumber").filter(|_| settings.flag("enableTransferToAttendant"));
        self.assistant = (settings.flag(ACTIVE) && away).then(|| Assistant {
            attendant: attendant.map(str::to_owned),
            alerts_first: settings.flag("alertMeFirst"),
            rings: settings.integer(NUMBER_OF_RINGS).unwrap_or_default(),
            excluded: settings
                .entries("exclusionNumberList")
                .iter()
                .filter_map(|entry| entry.text("number").and_then(parsed))
                .collect(),
        });
    }

    fn take_sequence(&mut self, settings: &Settings) {
        let places: Vec<Wanted> = SEQUENTIAL_LOCATIONS
            .iter()
            .filter_map(|name| {
                let entry = settings.group(name)?;
                let rings = entry.integer(NUMBER_OF_RINGS);
                wanted(entry, "address", PlaceKind::Number).map(|place| Wanted { rings, ..place })
            })
            .collect();
        self.sequential = (!places.is_empty()).then(|| Sequential {
            base_first: settings.flag("ringBaseLocationFirst"),
            base_rings: settings.integer("baseLocationNumberOfRings").unwrap_or_default(),
            when_busy: settings.flag("continueIfBaseLocationIsBusy"),
            places,
            criteria: Criterion::all(settings.entries(CRITERIA_LIST)),
        });
    }

    /// What it means by what it dials: its codes first.
    pub(crate) fn dialled(&self, text: &str) -> Result<Dialled, Refusal> {
        let dialled = match Dialled::parse(text) {
            Ok(Dialled::Digits(digits)) => match self.speed_dials.get(&digits) {
                Some(number) => Dialled::parse(number),
                None => Ok(Dialled::Digits(digits)),
            },
            dialled => dialled,
        };
        dialled.map_err(Refusal::BadAddress)
    }

    /// Whether one of some numbers, as this party writes them, is another party's.
    pub(super) fn means(&self, numbers: &[Dialled], other: &Self) -> bool {
        use super::Candidate;
        let colleagues = self.provider == other.provider && (self.is_enterprise || self.group == other.group);
        numbers.iter().flat_map(|number| number.candidates(&self.country_code)).any(|candidate| {
            match candidate {
                Candidate::Extension(extension) => colleagues && other.extension.as_ref() == Some(&extension),
                Candidate::Number(number) => other.number.as_ref() == Some(&number),
                Candidate::Identity(identity) => {
                    other.user_id.as_str() == identity || other.line_port == identity
                }
            }
        })
    }

    /// Whether it has a mailbox.
    pub(crate) fn has_mailbox(&self) -> bool {
        self.mailbox.is_some()
    }

    /// Where the mailbox sends who presses 0.
    pub(crate) fn on_zero(&self) -> Option<Dialled> {
        self.mailbox.as_ref()?.on_zero.as_deref().and_then(parsed)
    }

    fn mailbox_if(&self, redirects: impl FnOnce(&Mailbox) -> bool) -> Option<Dialled> {
        self.mailbox
            .as_ref()
            .filter(|mailbox| redirects(mailbox))
            .map(|_| Dialled::Mailbox(self.user_id.clone()))
    }

    /// Whether it does not want this call.
    pub(crate) fn refuses(&self, caller: Caller<'_>) -> bool {
        (caller.hidden && self.refuses_hidden && !self.sees_hidden)
            || selects(&self.rejects, self, caller)
            || (!self.accepts.is_empty() && !selects(&self.accepts, self, caller))
    }

    fn assists(&self, caller: Caller<'_>) -> Option<(&Assistant, Dialled)> {
        let assistant = self.assistant.as_ref()?;
        if caller.party.is_some_and(|caller| self.means(&assistant.excluded, caller)) {
            return None;
        }
        let attendant = assistant.attendant.as_deref().and_then(parsed);
        attendant.or_else(|| self.mailbox_if(|_| true)).map(|to| (assistant, to))
    }

    /// Where its calls go before anything rings, and why.
    pub(crate) fn forwards_at_once(&self, caller: Caller<'_>) -> Option<(Dialled, &'static str)> {
        if let Some((to, criteria)) = &self.selective
            && selects(criteria, self, caller)
        {
            return parsed(to).map(|to| (to, "unconditional"));
        }
        if let Some(to) = &self.always {
            return parsed(to).map(|to| (to, "unconditional"));
        }
        if let Some((_, to)) = self.assists(caller).filter(|(assistant, _)| !assistant.alerts_first) {
            return Some((to, "away"));
        }
        self.mailbox_if(|mailbox| mailbox.always).map(|to| (to, "unconditional"))
    }

    /// Where calls go while it is busy or does not want to be disturbed.
    pub(crate) fn forwards_busy(&self) -> Option<Dialled> {
        self.busy.as_deref().and_then(parsed).or_else(|| self.mailbox_if(|mailbox| mailbox.busy))
    }

    /// Where calls go while nothing of its can ring.
    pub(crate) fn forwards_unreachable(&self) -> Option<Dialled> {
        self.not_reachable
            .as_deref()
            .and_then(parsed)
            .or_else(|| self.mailbox_if(|mailbox| mailbox.no_answer))
    }

    /// Where calls go that nobody answers.
    pub(crate) fn unanswered(&self, caller: Caller<'_>) -> Option<Unanswered> {
        if let Some((assistant, to)) = self.assists(caller).filter(|(assistant, _)| assistant.alerts_first) {
            return Some(Unanswered { to, rings: assistant.rings, reason: "away" });
        }
        if let Some((to, rings)) = &self.no_answer {
            return parsed(to).map(|to| Unanswered { to, rings: *rings, reason: "no-answer" });
        }
        let mailbox = self.mailbox.as_ref()?;
        let to = self.mailbox_if(|mailbox| mailbox.no_answer)?;
        Some(Unanswered { to, rings: mailbox.rings, reason: "no-answer" })
    }

    /// Whether its search goes on while it is busy.
    pub(crate) fn searches_when_busy(&self, caller: Caller<'_>) -> bool {
        self.search(caller).is_some_and(|sequential| sequential.when_busy)
    }

    fn search(&self, caller: Caller<'_>) -> Option<&Sequential> {
        self.sequential.as_ref().filter(|sequential| {
            sequential.criteria.is_empty() || selects(&sequential.criteria, self, caller)
        })
    }

    /// Where a call rings.
    pub(crate) fn ring_plan(&self, caller: Caller<'_>, in_a_call: bool, busy: bool) -> RingPlan {
        let mut plan = RingPlan { away: busy, ..RingPlan::default() };
        if !busy {
            if let Some(number) = &self.remote_office {
                plan.away = true;
                plan.wanted.push(remote_office(number));
            }
            let mobility = self.mobility.as_ref();
            if mobility.is_none_or(|mobility| mobility.anywhere) {
                plan.wanted.extend(self.anywhere.iter().cloned());
            }
            if let Some(mobility) = mobility {
                plan.away |= !mobility.fixed;
                plan.wanted.extend(mobility.places.iter().filter(|_| mobility.mobile).cloned());
            }
            if let Some(simultaneous) = &self.simultaneous
                && !(simultaneous.idle_only && in_a_call)
                && (simultaneous.criteria.is_empty() || selects(&simultaneous.criteria, self, caller))
            {
                plan.wanted.extend(simultaneous.places.iter().cloned());
            }
        }
        if let Some(sequential) = self.search(caller) {
            if sequential.base_first {
                plan.first_rings = Some(sequential.base_rings);
            } else {
                plan.away = true;
            }
            plan.wanted.extend(sequential.places.iter().cloned());
        }
        plan
    }

    /// Where its own calls begin, unless at the own device.
    pub(crate) fn dials_from(&self, location: openadp_appserver::DialLocation) -> Option<RingPlan> {
        use openadp_appserver::DialLocation as At;
        let mobiles = self.mobility.as_ref().map(|mobility| mobility.dials.clone()).unwrap_or_default();
        let anywhere = |away| RingPlan { away, first_rings: None, wanted: self.anywhere.clone() };
        match location {
            At::Primary => None,
            At::Mobility => Some(RingPlan { away: true, first_rings: None, wanted: mobiles }),
            At::All if self.anywhere.is_empty() && self.remote_office.is_none() && mobiles.is_empty() => None,
            At::Usual => match &self.remote_office {
                Some(number) => {
                    Some(RingPlan { away: true, first_rings: None, wanted: vec![remote_office(number)] })
                }
                None => (self.anywhere_dials && !self.anywhere.is_empty()).then(|| anywhere(false)),
            },
            At::All => {
                let mut plan = anywhere(self.remote_office.is_some());
                plan.wanted.extend(mobiles);
                plan.wanted.extend(self.remote_office.as_deref().map(remote_office));
                Some(plan)
            }
            At::BroadWorksAnywhere => Some(anywhere(true)),
        }
    }
}

fn remote_office(number: &str) -> Wanted {
    Wanted { kind: PlaceKind::RemoteOffice, number: number.to_owned(), confirm: false, rings: None }
}

fn wanted(entry: &Settings, name: &str, kind: PlaceKind) -> Option<Wanted> {
    let number = entry.text(name)?.to_owned();
    Some(Wanted { kind, number, confirm: entry.flag(ANSWER_CONFIRMATION), rings: None })
}
