//! Call logs (xsi.md 3.5).

use super::directories::{count, page};
use super::get_only;
use crate::api::{Call, Outcome};
use crate::convert;
use crate::error::ApiError;
use crate::paging::Page;
use crate::{Method, Reply};
use openadp_appserver::{CallLogEntry, CallLogKind, UserId};
use openadp_xsi_schema as wire;
use openadp_xsi_schema::{CallLog, CallLogs, CallLogsEntry, Document, EnhancedCallLogs};
use time::OffsetDateTime;

const ALL: [CallLogKind; 3] = [CallLogKind::Placed, CallLogKind::Received, CallLogKind::Missed];

fn kind_of(segment: &str) -> Result<CallLogKind, ApiError> {
    match segment {
        "missed" => Ok(CallLogKind::Missed),
        "placed" => Ok(CallLogKind::Placed),
        "received" => Ok(CallLogKind::Received),
        _ => Err(ApiError::ResourceNotFound),
    }
}

fn wire_kind(kind: CallLogKind) -> wire::CallLogKind {
    match kind {
        CallLogKind::Missed => wire::CallLogKind::Missed,
        CallLogKind::Placed => wire::CallLogKind::Placed,
        CallLogKind::Received => wire::CallLogKind::Received,
    }
}

fn entry(entry: CallLogEntry) -> CallLogsEntry {
    let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(entry.time) * 1_000_000)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH);
    CallLogsEntry {
        country_code: entry.number.country_code,
        phone_number: entry.number.value,
        name: entry.name,
        time: CallLogsEntry::format_time(time),
        call_log_id: entry.call_log_id,
        redirections: None,
        redirect: None,
    }
}

/// The entry with what a plain one does not tell: where the call went on to.
fn extended(logged: CallLogEntry) -> CallLogsEntry {
    let redirections = convert::redirections(&logged.redirections);
    let redirect = logged.redirect.as_ref().map(convert::redirect);
    CallLogsEntry { redirections, redirect, ..entry(logged) }
}

async fn read(
    call: &Call<'_>,
    user: &UserId,
    kind: CallLogKind,
    page: Page,
    entry: fn(CallLogEntry) -> CallLogsEntry,
) -> Result<CallLog, ApiError> {
    let found = call.api.ports.calls.call_log(user, kind, page.start, page.results).await?;
    let entries: Vec<CallLogsEntry> = found.entries.into_iter().map(entry).collect();
    let (start_index, number_of_records) = (Some(count(page.start)), Some(count(entries.len())));
    Ok(CallLog { start_index, number_of_records, entries })
}

/// All three logs; DELETE empties them.
pub(super) async fn all(call: &Call<'_>, user: &UserId) -> Outcome {
    match call.method {
        Method::Get => {
            let page = page(call);
            let [placed, received, missed] = ALL;
            let document = CallLogs {
                placed: Some(read(call, user, placed, page, entry).await?),
                received: Some(read(call, user, received, page, entry).await?),
                missed: Some(read(call, user, missed, page, entry).await?),
            };
            Ok(Reply::document(200, document.to_element()))
        }
        Method::Delete => {
            call.may_control()?;
            call.api.ports.calls.clear_call_logs(user).await?;
            Ok(Reply::empty(200))
        }
        Method::Post | Method::Put => Err(ApiError::MethodNotAllowed { allow: "DELETE, GET" }),
    }
}

/// One log: lower-case root without namespace, or phones show an empty list.
pub(super) async fn one(call: &Call<'_>, user: &UserId, segment: &str) -> Outcome {
    let kind = kind_of(segment)?;
    get_only(call)?;
    let log = read(call, user, kind, page(call), entry).await?;
    Ok(Reply::document(200, log.to_single_element(wire_kind(kind))))
}

/// The enhanced logs, all or one.
pub(super) async fn enhanced(call: &Call<'_>, user: &UserId, segment: Option<&str>) -> Outcome {
    let only = segment.map(kind_of).transpose()?;
    get_only(call)?;
    let page = page(call);
    let mut logs = Vec::new();
    let mut records = 0;
    for kind in ALL.into_iter().filter(|kind| only.is_none_or(|only| only == *kind)) {
        let log = read(call, user, kind, page, extended).await?;
        records += log.entries.len();
        logs.push((wire_kind(kind), log));
    }
    let document =
        EnhancedCallLogs { start_index: count(page.start), number_of_records: count(records), logs };
    Ok(Reply::document(200, document.to_element()))
}
