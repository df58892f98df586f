//! Life in the lab: parties outside of the enterprise call in, and the people answer, talk, hold, send on and hang up.
//!
//! Outside is a service provider of its own in the application server, so its calls take every way that a call takes, and
//! everybody who watches sees them. Every call has one script. What the scripts do is decided by a generator that starts from a
//! fixed value, so that two runs are alike.

use anyhow::{Context as _, Result};
use openadp_appserver::{
    Call, CallAction, CallControl, CallId, CallState, DialOptions, PortError, PortResult, UserId,
};
use openadp_appserver_embedded::{EmbeddedApplicationServer, NewSubscriber};
use openadp_settings::Secret;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Service provider of those who call in.
const OUTSIDE: &str = "outside";
const GROUP: &str = "callers";
/// Most parties outside: numbers for fiction end with 0199 (NPA-555-01xx).
const MOST_CALLERS: u32 = 100;
/// Parties for each call a second: as long as a call lasts, in seconds, with some to spare.
const CALLERS_PER_CALL: u32 = 12;
/// Longest time that one call takes from end to end.
const LONGEST: Duration = Duration::from_secs(10);
/// Names of those who call in, in turn.
const NAMES: [(&str, &str); 8] = [
    ("Ada", "Visser"),
    ("Bruno", "Salgado"),
    ("Chiara", "Ferri"),
    ("Dov", "Lindgren"),
    ("Esi", "Boateng"),
    ("Faye", "Holt"),
    ("Gustav", "Å"),
    ("Hoa", "Trần"),
];

/// A small generator.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides.max(1)
    }
}

/// Somebody of the enterprise.
#[derive(Debug, Clone)]
pub(super) struct Person {
    pub(super) user: UserId,
    pub(super) number: String,
}

/// What is to happen to one call.
#[derive(Debug, Clone, Copy)]
enum Plot {
    /// Answered, talked through, hung up by whoever is first.
    Talk,
    /// With a pause in the middle.
    Hold,
    /// Sent on to a colleague, who answers.
    SendOn,
    /// Refused.
    Decline,
    /// Nobody answers.
    GiveUp,
}

impl Plot {
    fn of(dice: &mut Dice) -> Self {
        match dice.roll(10) {
            0..=3 => Self::Talk,
            4 | 5 => Self::Hold,
            6 => Self::SendOn,
            7 => Self::Decline,
            _ => Self::GiveUp,
        }
    }
}

/// The traffic of a running lab.
pub(super) struct Traffic {
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Traffic {
    /// Makes the parties outside, and lets them call `per_second` times a second.
    pub(super) async fn start(
        server: &EmbeddedApplicationServer,
        people: Vec<Person>,
        per_second: u32,
    ) -> Result<Self> {
        let calls = server.ports().calls;
        let callers = outside(server, per_second).await?;
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        // Whatever a lab that was killed left.
        for caller in &callers {
            hang_up(&*calls, caller).await?;
        }
        let stage = Arc::new(Stage {
            calls,
            people,
            idle: Mutex::new(callers.into()),
            length: length(per_second),
            stop: stop.clone(),
        });
        tasks.spawn(direct(stage, per_second, tasks.clone()));
        Ok(Self { tasks, stop })
    }

    /// Ends all calls that it began.
    pub(super) async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// How long a call takes, so that there is always somebody free to make the next one.
fn length(per_second: u32) -> Duration {
    LONGEST.min(Duration::from_secs(MOST_CALLERS.into()) * 4 / 5 / per_second.max(1))
}

/// Makes the parties outside, unless they are there.
async fn outside(server: &EmbeddedApplicationServer, per_second: u32) -> Result<Vec<UserId>> {
    let provisioning = server.provisioning();
    provisioning.put_provider(OUTSIDE, false).await?;
    provisioning.put_group(OUTSIDE, GROUP).await?;
    let mut hashing = JoinSet::new();
    for index in 0..per_second.saturating_mul(CALLERS_PER_CALL).min(MOST_CALLERS) {
        let provisioning = server.provisioning();
        let (first, last) = NAMES[index as usize % NAMES.len()];
        let user = UserId::new(&format!("caller-{index:02}@{OUTSIDE}.example"));
        let password = Secret::new(super::secrets::password()?.as_str());
        hashing.spawn(async move {
            let caller = NewSubscriber {
                user_id: user.clone(),
                provider: OUTSIDE.to_owned(),
                group: GROUP.to_owned(),
                first_name: first.to_owned(),
                last_name: last.to_owned(),
                number: Some(format!("+1646555{:04}", 100 + index)),
                extension: None,
                country_code: "1".to_owned(),
                mobile: None,
                email_address: None,
                title: None,
                department: None,
                time_zone: None,
                password,
            };
            // The store may be busy with the calls that began already.
            let mut tries = 0;
            loop {
                match provisioning.put_subscriber(&caller).await {
                    Err(PortError::Unavailable(_)) if tries < 10 => tries += 1,
                    made => return made.map(|()| user),
                }
            }
        });
    }
    let mut callers = Vec::new();
    while let Some(made) = hashing.join_next().await {
        callers.push(made.context("making a caller")?.context("making a caller")?);
    }
    callers.sort();
    Ok(callers)
}

/// What all scripts share.
struct Stage {
    calls: Arc<dyn CallControl>,
    people: Vec<Person>,
    idle: Mutex<VecDeque<UserId>>,
    length: Duration,
    stop: CancellationToken,
}

/// Begins a call at each tick, for as long as somebody outside is free.
async fn direct(stage: Arc<Stage>, per_second: u32, tasks: TaskTracker) {
    let mut dice = Dice(1);
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / per_second.max(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            () = stage.stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let caller = stage.idle.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let (Some(caller), false) = (caller, stage.people.is_empty()) else { continue };
        let plot = Plot::of(&mut dice);
        let mut pick = || {
            let place = usize::try_from(dice.roll(stage.people.len() as u64)).unwrap_or_default();
            stage.people[place].clone()
        };
        let (called, colleague) = (pick(), pick());
        let stage = stage.clone();
        tasks.spawn(async move {
            if let Err(error) = script(&stage, &caller, &called, &colleague, plot).await {
                // Somebody else may have used the phone meanwhile: the lab is for that.
                tracing::debug!(%error, caller = %caller, "a call of the traffic went another way");
            }
            if let Err(error) = hang_up(&*stage.calls, &caller).await {
                tracing::warn!(%error, caller = %caller, "a call of the traffic could not be ended");
            }
            stage.idle.lock().unwrap_or_else(PoisonError::into_inner).push_back(caller);
        });
    }
}

/// Waits for a part of the call's length; `false` when the lab ends.
async fn wait(stage: &Stage, tenths: u32) -> bool {
    tokio::select! {
        () = stage.stop.cancelled() => false,
        () = tokio::time::sleep(stage.length * tenths / 10) => true,
    }
}

/// The call of this tracking id that somebody has.
async fn of(stage: &Stage, user: &UserId, tracking: &str) -> PortResult<Option<Call>> {
    let overview = stage.calls.overview(user).await?;
    let ours = |call: &Call| call.external_tracking_id == tracking && call.state != CallState::Detached;
    Ok(overview.calls.into_iter().find(ours))
}

/// One call from beginning to end; whoever is left with it is hung up afterwards.
async fn script(
    stage: &Stage,
    caller: &UserId,
    called: &Person,
    colleague: &Person,
    plot: Plot,
) -> PortResult<()> {
    let start = stage.calls.dial(caller, &called.number, &DialOptions::default()).await?;
    let tracking = &start.external_tracking_id;
    let act =
        async |user: &UserId, call: &CallId, action| stage.calls.act(user, call, &action).await.map(drop);
    if !wait(stage, 2).await {
        return Ok(());
    }
    let Some(theirs) = of(stage, &called.user, tracking).await?.filter(|call| call.allow_answer) else {
        // Busy, forwarded, or at another place.
        wait(stage, 2).await;
        return Ok(());
    };
    match plot {
        Plot::GiveUp => {
            wait(stage, 5).await;
            return Ok(());
        }
        Plot::Decline => return act(&called.user, &theirs.id, CallAction::Decline).await,
        Plot::Hold | Plot::SendOn | Plot::Talk => act(&called.user, &theirs.id, CallAction::Talk).await?,
    }
    if !wait(stage, 3).await {
        return Ok(());
    }
    match plot {
        Plot::Hold => {
            act(&called.user, &theirs.id, CallAction::Hold).await?;
            wait(stage, 2).await;
            act(&called.user, &theirs.id, CallAction::Talk).await?;
            wait(stage, 1).await;
        }
        Plot::SendOn if colleague.user != called.user => {
            let to = CallAction::BlindTransfer { address: colleague.number.clone() };
            act(&called.user, &theirs.id, to).await?;
            wait(stage, 1).await;
            if let Some(call) = of(stage, &colleague.user, tracking).await?.filter(|call| call.allow_answer) {
                act(&colleague.user, &call.id, CallAction::Talk).await?;
                wait(stage, 2).await;
                return act(&colleague.user, &call.id, CallAction::Release).await;
            }
            return Ok(());
        }
        Plot::Decline | Plot::GiveUp | Plot::SendOn | Plot::Talk => {
            wait(stage, 2).await;
        }
    }
    act(&called.user, &theirs.id, CallAction::Release).await
}

/// Ends all calls of a party outside.
async fn hang_up(calls: &dyn CallControl, user: &UserId) -> PortResult<()> {
    for call in calls.overview(user).await?.calls {
        match calls.act(user, &call.id, &CallAction::Release).await {
            Ok(_) | Err(PortError::NotFound { .. } | PortError::WrongState { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_callers_enough() {
        for per_second in 1..=100 {
            let callers = per_second * CALLERS_PER_CALL;
            let at_once = length(per_second) * per_second;
            assert!(at_once < Duration::from_secs(callers.min(MOST_CALLERS).into()), "{per_second} a second");
        }
    }

    #[test]
    fn everything_happens_in_a_minute() {
        let mut dice = Dice(1);
        let plots: std::collections::BTreeSet<String> =
            (0..60).map(|_| format!("{:?}", Plot::of(&mut dice))).collect();
        assert_eq!(plots.len(), 5, "{plots:?}");
    }
}
