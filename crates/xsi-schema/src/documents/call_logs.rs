//! Call logs in all their forms (xsi.md 3.5).

use crate::field::{document, enumeration};
use crate::{Element, Redirect, Redirections, Value};
use time::OffsetDateTime;
use time::macros::format_description;

enumeration! {
    /// Which log; the text is its element.
    CallLogKind, "a call log" {
        /// Outgoing.
        Placed = "placed",
        /// Incoming, answered.
        Received = "received",
        /// Incoming, not answered.
        Missed = "missed",
    }
}

document! {
    /// `callLogsEntry`.
    CallLogsEntry = "callLogsEntry" {
        /// Country code of the number, without `+`.
        country_code: Option<String> = "countryCode",
        /// Number of the other party.
        phone_number: String = "phoneNumber",
        /// Its name; `Unavailable` where unknown.
        name: String = "name",
        /// When: see [`CallLogsEntry::format_time`].
        time: String = "time",
        /// Id of the entry.
        call_log_id: String = "callLogId",
        /// How the call came here; in `enhancedCallLogsExtendedEntry` only.
        redirections: Option<Redirections> = "redirections",
        /// Where the user's own services sent the call; in `enhancedCallLogsExtendedEntry` only.
        redirect: Option<Redirect> = "redirect",
    }
}

impl CallLogsEntry {
    /// ISO 8601 with milliseconds and offset, as clients parse it with a fixed pattern (xsi.md 1.4).
    pub fn format_time(time: OffsetDateTime) -> String {
        let format = format_description!(
            "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3][offset_hour sign:mandatory]:[offset_minute]"
        );
        // Formatting can only fail for years beyond four digits, which no clock here gives.
        time.format(&format).unwrap_or_default()
    }
}

document! {
    /// One log.
    CallLog = "placed" {
        /// 1-based index of the first entry, where a page was asked for.
        start_index: Option<u64> = "startIndex",
        /// Entries in this page.
        number_of_records: Option<u64> = "numberOfRecords",
        /// Entries, newest first.
        entries: Vec<CallLogsEntry> = "callLogsEntry",
    }
}

impl CallLog {
    /// The log as a document of its own: a lower-case root and no namespace, or phones show an empty list.
    pub fn to_single_element(&self, kind: CallLogKind) -> Element {
        self.to_value(kind.as_str()).without_namespace()
    }

    /// The log inside `EnhancedCallLogs`: the same entries under another name, which tells whether the call went on elsewhere.
    fn enhanced(&self, kind: CallLogKind) -> Element {
        let mut log = Element::new(kind.as_str());
        for entry in &self.entries {
            let extended = entry.redirect.is_some() || entry.redirections.is_some();
            let name = if extended { "enhancedCallLogsExtendedEntry" } else { "enhancedCallLogsEntry" };
            log.push(entry.to_value(name));
        }
        log
    }
}

document! {
    /// `CallLogs`: all three.
    CallLogs = "CallLogs" {
        /// Outgoing.
        placed: Option<CallLog> = "placed",
        /// Incoming, answered.
        received: Option<CallLog> = "received",
        /// Incoming, not answered.
        missed: Option<CallLog> = "missed",
    }
}

/// `EnhancedCallLogs`: the same with one count for all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EnhancedCallLogs {
    /// 1-based index of the first entry.
    pub start_index: u64,
    /// Entries in this page, of all logs together.
    pub number_of_records: u64,
    /// The logs that were asked for.
    pub logs: Vec<(CallLogKind, CallLog)>,
}

impl EnhancedCallLogs {
    /// The document as a tree.
    pub fn to_element(&self) -> Element {
        let mut element = Element::new("EnhancedCallLogs")
            .with(self.start_index.to_value("startIndex"))
            .with(self.number_of_records.to_value("numberOfRecords"));
        for kind in CallLogKind::ALL {
            if let Some((_, log)) = self.logs.iter().find(|(candidate, _)| candidate == kind) {
                element.push(log.enhanced(*kind));
            }
        }
        element
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn times_have_fraction_and_offset() {
        assert_eq!(
            CallLogsEntry::format_time(datetime!(2026-11-02 09:14:03.12 -5)),
            "2026-11-02T09:14:03.120-05:00"
        );
        assert_eq!(
            CallLogsEntry::format_time(datetime!(2026-11-02 09:14:03 UTC)),
            "2026-11-02T09:14:03.000+00:00"
        );
    }
}
