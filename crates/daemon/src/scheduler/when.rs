//! When an entry of the schedule is due: four forms, in minutes of UTC.

use std::fmt::{self, Display};
use time::{OffsetDateTime, UtcOffset, Weekday};

/// Minutes of a day.
const DAY: u32 = 24 * 60;
const WEEKDAYS: [(&str, Weekday); 7] = [
    ("Monday", Weekday::Monday),
    ("Tuesday", Weekday::Tuesday),
    ("Wednesday", Weekday::Wednesday),
    ("Thursday", Weekday::Thursday),
    ("Friday", Weekday::Friday),
    ("Saturday", Weekday::Saturday),
    ("Sunday", Weekday::Sunday),
];
/// Fewest letters of a weekday's name.
const SHORTEST: usize = 2;

/// The forms, as operators type them.
pub(super) const FORMS: &[&str] = &["minute", "daily", "day", "date"];

/// When an entry is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    /// Every so many minutes, counted from midnight, and so many after that.
    Minute { every: u32, offset: u32 },
    /// Each day.
    Daily { hour: u32, minute: u32 },
    /// On one day of the week.
    Day { weekday: Weekday, hour: u32, minute: u32 },
    /// On one day of the month; months that are too short leave it out.
    Date { date: u32, hour: u32, minute: u32 },
}

/// A word that is none, and why: place among those after the form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) place: usize,
    pub(super) reason: String,
}

fn number(words: &[&str], place: usize, what: &str, (least, most): (u32, u32)) -> Result<u32, Wrong> {
    let wrong = |reason| Wrong { place, reason };
    let word = words.get(place).ok_or_else(|| wrong(format!("{what} is missing")))?;
    let number: u32 = word.parse().map_err(|_| wrong(format!("'{}' is no {what}", word.escape_debug())))?;
    if (least..=most).contains(&number) {
        return Ok(number);
    }
    Err(wrong(format!("{what} {number} is not between {least} and {most}")))
}

fn weekday(words: &[&str]) -> Result<Weekday, Wrong> {
    let wrong = |reason| Wrong { place: 0, reason };
    let word = words.first().ok_or_else(|| wrong("weekday is missing".to_owned()))?;
    let begins = |name: &str| name.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    let found = WEEKDAYS.iter().find(|(name, _)| word.len() >= SHORTEST && begins(name));
    found.map(|(_, weekday)| *weekday).ok_or_else(|| {
        let names = WEEKDAYS.map(|(name, _)| name).join(", ");
        wrong(format!("'{}' is none of {names}", word.escape_debug()))
    })
}

impl When {
    /// Reads a form and the words after it.
    pub(super) fn of(form: &str, words: &[&str]) -> Result<Self, Wrong> {
        let time = |place: usize| -> Result<(u32, u32), Wrong> {
            Ok((number(words, place, "hour", (0, 23))?, number(words, place + 1, "minute", (0, 59))?))
        };
        let (when, length) = match form {
            "minute" => {
                let every = number(words, 0, "number of minutes", (1, DAY))?;
                let offset = match words.get(1) {
                    None => 0,
                    Some(_) => number(words, 1, "offset", (0, every - 1))?,
                };
                (Self::Minute { every, offset }, 2)
            }
            "daily" => {
                let (hour, minute) = time(0)?;
                (Self::Daily { hour, minute }, 2)
            }
            "day" => {
                let weekday = weekday(words)?;
                let (hour, minute) = time(1)?;
                (Self::Day { weekday, hour, minute }, 3)
            }
            "date" => {
                let date = number(words, 0, "day of the month", (1, 31))?;
                let (hour, minute) = time(1)?;
                (Self::Date { date, hour, minute }, 3)
            }
            other => {
                let reason = format!("'{}' is none of {}", other.escape_debug(), FORMS.join(", "));
                return Err(Wrong { place: 0, reason });
            }
        };
        match words.get(length) {
            None => Ok(when),
            Some(word) => {
                Err(Wrong { place: length, reason: format!("'{}' is one too many", word.escape_debug()) })
            }
        }
    }

    /// Reads the text that is stored.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let (form, words) = words.split_first().ok_or_else(|| "it is empty".to_owned())?;
        Self::of(&form.to_ascii_lowercase(), words).map_err(|wrong| wrong.reason)
    }

    /// Whether it is due in the minute that begins then.
    pub(super) fn is_due(self, minute: OffsetDateTime) -> bool {
        let at = minute.to_offset(UtcOffset::UTC);
        let now = (u32::from(at.hour()), u32::from(at.minute()));
        match self {
            Self::Minute { every, offset } => (now.0 * 60 + now.1) % every == offset,
            Self::Daily { hour, minute } => now == (hour, minute),
            Self::Day { weekday, hour, minute } => at.weekday() == weekday && now == (hour, minute),
            Self::Date { date, hour, minute } => u32::from(at.day()) == date && now == (hour, minute),
        }
    }

    /// Date, day, hour and minute, as the table shows them: `*` for each of them, `5/15` for every 15 from 5 on.
    pub(super) fn columns(self) -> [String; 4] {
        let any = || "*".to_owned();
        match self {
            Self::Minute { every, offset: 0 } => [any(), any(), any(), format!("*/{every}")],
            Self::Minute { every, offset } => [any(), any(), any(), format!("{offset}/{every}")],
            Self::Daily { hour, minute } => [any(), any(), hour.to_string(), minute.to_string()],
            Self::Day { weekday, hour, minute } => {
                [any(), weekday.to_string(), hour.to_string(), minute.to_string()]
            }
            Self::Date { date, hour, minute } => {
                [date.to_string(), any(), hour.to_string(), minute.to_string()]
            }
        }
    }
}

impl Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Minute { every, offset: 0 } => write!(f, "minute {every}"),
            Self::Minute { every, offset } => write!(f, "minute {every} {offset}"),
            Self::Daily { hour, minute } => write!(f, "daily {hour} {minute}"),
            Self::Day { weekday, hour, minute } => write!(f, "day {weekday} {hour} {minute}"),
            Self::Date { date, hour, minute } => write!(f, "date {date} {hour} {minute}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::Duration;
    use time::macros::datetime;

    /// A Saturday.
    const MIDNIGHT: OffsetDateTime = datetime!(2026-10-31 0:00 UTC);

    fn count(text: &str, days: i64) -> i64 {
        let when = When::parse(text).unwrap();
        let minutes = 0..days * i64::from(DAY);
        minutes.filter(|at| when.is_due(MIDNIGHT + Duration::minutes(*at))).count().try_into().unwrap()
    }

    #[test]
    fn forms_are_read_and_written_alike() {
        for (typed, kept, columns) in [
            ("minute 15", "minute 15", ["*", "*", "*", "*/15"]),
            ("MINUTE 15 0", "minute 15", ["*", "*", "*", "*/15"]),
            ("minute 15 5", "minute 15 5", ["*", "*", "*", "5/15"]),
            ("daily 02 05", "daily 2 5", ["*", "*", "2", "5"]),
            ("day su 23 59", "day Sunday 23 59", ["*", "Sunday", "23", "59"]),
            ("day MONDAY 0 0", "day Monday 0 0", ["*", "Monday", "0", "0"]),
            ("date 31 4 0", "date 31 4 0", ["31", "*", "4", "0"]),
        ] {
            let when = When::parse(typed).unwrap();
            assert_eq!(when.to_string(), kept);
            assert_eq!(When::parse(kept), Ok(when));
            assert_eq!(when.columns(), columns.map(str::to_owned));
        }
    }

    #[test]
    fn what_is_no_form_is_refused_with_its_word() {
        for (typed, reason) in [
            ("", "it is empty"),
            ("hourly 1", "'hourly' is none of minute, daily, day, date"),
            ("minute", "number of minutes is missing"),
            ("minute 0", "number of minutes 0 is not between 1 and 1440"),
            ("minute 5 5", "offset 5 is not between 0 and 4"),
            ("minute 1 0 0", "'0' is one too many"),
            ("daily 24 0", "hour 24 is not between 0 and 23"),
            ("daily 2", "minute is missing"),
            ("daily -1 0", "'-1' is no hour"),
            ("daily 1 2 3", "'3' is one too many"),
            ("date 32 1 1", "day of the month 32 is not between 1 and 31"),
        ] {
            assert_eq!(When::parse(typed), Err(reason.to_owned()), "{typed}");
        }
        for bad in ["day S 1 1", "day Someday 1 1", "day \u{e9}\u{e9} 1 1"] {
            assert!(When::parse(bad).is_err_and(|reason| reason.contains("is none of Monday")), "{bad}");
        }
    }

    #[test]
    fn each_is_due_as_often_as_it_says() {
        assert_eq!(count("minute 1", 1), 1440);
        assert_eq!(count("minute 15 5", 1), 96);
        assert_eq!(count("minute 1440 61", 2), 2);
        assert_eq!(count("daily 2 30", 14), 14);
        assert_eq!(count("day Sunday 3 0", 14), 2);
        // From the last of October: that day, none in November, one in December.
        assert_eq!(count("date 31 4 0", 62), 2);
        let when = When::parse("minute 15 5").unwrap();
        assert!(
            when.is_due(datetime!(2026-10-31 1:20:59 UTC)) && !when.is_due(datetime!(2026-10-31 1:21 UTC))
        );
        assert!(When::parse("daily 2 0").unwrap().is_due(datetime!(2026-10-31 3:00 +1)), "it is UTC");
    }
}
