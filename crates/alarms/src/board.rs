//! What is raised in this process.

use crate::{Alarm, Event, Record, Severity};
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use time::OffsetDateTime;
use tokio::sync::watch;

/// Alarms that are raised at once; more than any operator reads. What comes on top is in the log only.
const MAX_RAISED: usize = 1000;
/// Events that wait to be written to the history; more than a process makes while the disk is slow.
const MAX_WAITING: usize = 2000;
/// The same thing is told once within this time: a flood tells nobody more.
const TOLD_AGAIN: time::Duration = time::Duration::MINUTE;
/// Characters of what an alarm is about, and of its text.
const MAX_ABOUT: usize = 255;
const MAX_TEXT: usize = 1000;

/// What is raised in this process, and what became of it since it was last written.
#[derive(Debug)]
pub struct Board {
    state: Mutex<State>,
    /// How many are raised: to clear what is not costs next to nothing.
    count: AtomicUsize,
    changed: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    raised: BTreeMap<(&'static str, String), Record>,
    waiting: VecDeque<Record>,
    told: BTreeMap<(&'static str, String), OffsetDateTime>,
    numbers: u64,
}

static BOARD: LazyLock<Board> = LazyLock::new(Board::new);

/// The board of this process.
pub fn board() -> &'static Board {
    &BOARD
}

#[expect(
    clippy::disallowed_methods,
    reason = "alarms are raised where no clock was handed down, and nothing but their readers depends on these times"
)]
fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

/// Printable, and no longer than it may be.
fn clean(text: &str, most: usize) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(most).collect()
}

fn about_text(about: &[(&str, &str)]) -> String {
    let parts: Vec<String> =
        about.iter().map(|(name, value)| format!("{name}={}", value.replace(';', ","))).collect();
    clean(&parts.join(";"), MAX_ABOUT)
}

impl Board {
    fn new() -> Self {
        Self { state: Mutex::default(), count: AtomicUsize::new(0), changed: watch::Sender::new(0) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells whenever there is something to write.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Everything that is raised, the oldest first.
    pub fn raised(&self) -> Vec<Record> {
        let mut raised: Vec<Record> = self.state().raised.values().cloned().collect();
        raised.sort_by_key(|record| record.number);
        raised
    }

    /// Whether an alarm is raised about these parameters.
    pub fn is_raised(&self, alarm: &Alarm, about: &[(&str, &str)]) -> bool {
        self.state().raised.contains_key(&(alarm.name, about_text(about)))
    }

    /// What became of alarms since this was last called, the oldest first.
    pub fn take_events(&self) -> Vec<Record> {
        self.state().waiting.drain(..).collect()
    }

    pub(crate) fn raise(
        &self,
        alarm: &'static Alarm,
        severity: Severity,
        about: &[(&str, &str)],
        text: &str,
    ) {
        let (about, text, at) = (about_text(about), clean(text, MAX_TEXT), now());
        let event = {
            let mut state = self.state();
            let key = (alarm.name, about.clone());
            let full = state.raised.len() >= MAX_RAISED;
            if let Some(known) = state.raised.get_mut(&key) {
                if known.severity == severity {
                    if known.text != text {
                        // The same trouble in other words: for who reads the table, not worth a line.
                        known.text = text;
                        drop(state);
                        self.tell();
                    }
                    return;
                }
                gauge(alarm, known.severity, false);
                (known.severity, known.at, known.text) = (severity, at, text.clone());
                let record = Record { event: Event::Changed, ..known.clone() };
                state.wait(record);
                gauge(alarm, severity, true);
                Some(Event::Changed)
            } else {
                state.numbers += 1;
                let record = Record {
                    at,
                    event: Event::Raised,
                    number: state.numbers,
                    process: String::new(),
                    name: alarm.name.to_owned(),
                    severity,
                    about: about.clone(),
                    text: text.clone(),
                    raised: at,
                };
                if !full {
                    state.raised.insert(key, record.clone());
                    self.count.store(state.raised.len(), Ordering::Release);
                    gauge(alarm, severity, true);
                }
                state.wait(record);
                Some(Event::Raised)
            }
        };
        if let Some(event) = event {
            log(alarm, severity, event, &about, &text);
            self.tell();
        }
    }

    pub(crate) fn clear(&self, alarm: &'static Alarm, about: &[(&str, &str)]) {
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        let about = about_text(about);
        let record = {
            let mut state = self.state();
            let Some(record) = state.raised.remove(&(alarm.name, about)) else { return };
            self.count.store(state.raised.len(), Ordering::Release);
            record
        };
        gauge(alarm, record.severity, false);
        self.cleared(alarm.name, record);
    }

    pub(crate) fn report(&self, alarm: &'static Alarm, about: &[(&str, &str)], text: &str) {
        let (about, text, at) = (about_text(about), clean(text, MAX_TEXT), now());
        let mut state = self.state();
        let key = (alarm.name, about.clone());
        if state.told.get(&key).is_some_and(|told| at - *told < TOLD_AGAIN) {
            return;
        }
        if state.told.len() >= MAX_RAISED {
            state.told.clear();
        }
        state.told.insert(key, at);
        state.numbers += 1;
        let record = Record {
            at,
            event: Event::Reported,
            number: state.numbers,
            process: String::new(),
            name: alarm.name.to_owned(),
            severity: alarm.severity,
            about,
            text,
            raised: at,
        };
        let shown = (record.about.clone(), record.text.clone());
        state.wait(record);
        drop(state);
        log(alarm, alarm.severity, Event::Reported, &shown.0, &shown.1);
        self.tell();
    }

    /// Clears, as an operator wishes, what was raised up to a time. What still holds is raised again when it is found.
    pub fn clear_until(&self, time: OffsetDateTime) {
        let cleared: Vec<((&'static str, String), Record)> = {
            let mut state = self.state();
            let (gone, kept) = std::mem::take(&mut state.raised)
                .into_iter()
                .partition(|(_, record): &(_, Record)| record.raised <= time);
            state.raised = kept;
            self.count.store(state.raised.len(), Ordering::Release);
            let gone: BTreeMap<_, _> = gone;
            gone.into_iter().collect()
        };
        for ((name, _), record) in cleared {
            if let Some(alarm) = crate::list::ALL.iter().find(|alarm| alarm.name == name) {
                gauge(alarm, record.severity, false);
            }
            self.cleared(name, record);
        }
    }

    fn cleared(&self, name: &'static str, record: Record) {
        tracing::info!(alarm = name, about = record.about, notice = true, "alarm cleared");
        self.state().wait(Record { at: now(), event: Event::Cleared, ..record });
        self.tell();
    }

    fn tell(&self) {
        self.changed.send_modify(|number| *number += 1);
    }
}

impl State {
    fn wait(&mut self, record: Record) {
        if self.waiting.len() >= MAX_WAITING {
            self.waiting.pop_front();
        }
        self.waiting.push_back(record);
    }
}

fn gauge(alarm: &'static Alarm, severity: Severity, raised: bool) {
    let gauge = metrics::gauge!("alarms_active", "alarm" => alarm.name, "severity" => severity.name());
    if raised { gauge.increment(1.0) } else { gauge.decrement(1.0) }
}

fn log(alarm: &'static Alarm, severity: Severity, event: Event, about: &str, text: &str) {
    metrics::counter!("alarms_total", "alarm" => alarm.name, "severity" => severity.name()).increment(1);
    let (alarm, event, severity) = (alarm.name, event.name(), severity.name());
    match severity {
        "Critical" | "Major" => tracing::error!(alarm, severity, about, event, "{text}"),
        "Minor" | "Warning" => tracing::warn!(alarm, severity, about, event, "{text}"),
        _ => tracing::info!(alarm, severity, about, event, notice = true, "{text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CERTIFICATE_EXPIRES, PANIC};

    fn events(board: &Board) -> Vec<Event> {
        board.take_events().iter().map(|record| record.event).collect()
    }

    #[test]
    fn what_is_raised_is_raised_once_and_cleared_once() {
        let board = Board::new();
        let about = [("interface", "192.0.2.7:443"), ("name", "a;b")];
        board.clear(&CERTIFICATE_EXPIRES, &about);
        board.raise(&CERTIFICATE_EXPIRES, Severity::Warning, &about, "in 30 days\n");
        board.raise(&CERTIFICATE_EXPIRES, Severity::Warning, &about, "in 29 days");
        assert_eq!(events(&board), [Event::Raised]);
        let [raised] = board.raised().try_into().unwrap();
        assert_eq!(
            (raised.about.as_str(), raised.text.as_str()),
            ("interface=192.0.2.7:443;name=a,b", "in 29 days")
        );

        board.raise(&CERTIFICATE_EXPIRES, Severity::Critical, &about, "in 1 day");
        assert_eq!(events(&board), [Event::Changed]);
        assert_eq!(board.raised()[0].severity, Severity::Critical);
        assert_eq!(board.raised()[0].raised, raised.raised, "it was raised when it was");

        board.clear(&CERTIFICATE_EXPIRES, &about);
        board.clear(&CERTIFICATE_EXPIRES, &about);
        assert_eq!(events(&board), [Event::Cleared]);
        assert!(board.raised().is_empty());

        board.report(&PANIC, &[], "it");
        board.report(&PANIC, &[], "it again");
        assert_eq!(events(&board), [Event::Reported]);
        assert!(board.raised().is_empty());
    }

    #[test]
    fn an_operator_clears_what_was_raised_until_then() {
        let board = Board::new();
        board.raise(&CERTIFICATE_EXPIRES, Severity::Warning, &[("n", "1")], "");
        let until = board.raised()[0].raised;
        board.clear_until(until - time::Duration::SECOND);
        assert_eq!(board.raised().len(), 1);
        board.clear_until(until);
        assert!(board.raised().is_empty());
        assert_eq!(events(&board), [Event::Raised, Event::Cleared]);
    }

    #[test]
    fn everything_is_bounded() {
        let board = Board::new();
        for number in 0..MAX_WAITING + 10 {
            let name = number.to_string();
            board.raise(&CERTIFICATE_EXPIRES, Severity::Warning, &[("n", &name)], &"x".repeat(5000));
        }
        assert_eq!(board.raised().len(), MAX_RAISED);
        let events = board.take_events();
        assert_eq!(events.len(), MAX_WAITING);
        assert_eq!(events.last().unwrap().number, MAX_WAITING as u64 + 10, "the oldest go first");
        assert_eq!(events[0].text.len(), MAX_TEXT);
    }
}
