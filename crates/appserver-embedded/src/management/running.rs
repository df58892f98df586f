//! `AS_CLI/System/Calls`: the calls of subscribers, as they are now.

use super::table::table;
use super::{Done, argument, needed, query, with_store};
use crate::Shared;
use crate::calls::Calls as Control;
use crate::db::{fault, unreadable};
use openadp_appserver::{Call, CallAction, CallControl as _, CallId, PortResult, UserId};
use openadp_settings::{Action, ActionContext, ActionOutput, Context, Kind, Parameter, Tree, context};
use serde::Deserialize;
use std::sync::Arc;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Most calls that are listed.
const MOST: i64 = 10_000;

context! {
    /// Calls that are not over. A call between two subscribers is listed once for each.
    pub struct Calls = Context::actions_only(Tree::As, "System/Calls").actions(&[
        Action { name: "get", help: "Lists the calls of all subscribers, or of one.", arguments: &[ANYBODY], run: get },
        Action {
            name: "release",
            help: "Ends a call for both sides.",
            arguments: &[USER, CALL],
            run: release,
        },
    ]) => {}
}

const ANYBODY: Parameter = Parameter::new("userId", Kind::text(0, 161))
    .default("")
    .mandatory()
    .help("A subscriber; all where none is given.");
const USER: Parameter = Parameter::new("userId", Kind::text(1, 161)).key().help("The subscriber.");
const CALL: Parameter = Parameter::new("callId", Kind::text(1, 80)).key().help("The call, as get lists it.");

/// What is read of a half.
#[derive(Deserialize)]
struct Half {
    call: Call,
}

fn get(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Done {
    let user = argument(arguments, 0).filter(|user| !user.is_empty()).map(str::to_ascii_lowercase);
    let rows = with_store(context, |shared| running(shared, user))?;
    let headers = ["User Id", "Call Id", "Tracking Id", "Personality", "State", "Remote Party", "Since"];
    Ok(query(table(headers, [true, true, true, true, true, true, false], &rows)))
}

async fn running(shared: Arc<Shared>, user: Option<String>) -> PortResult<Vec<[String; 7]>> {
    let rows: Vec<(String, String)> = sqlx::query_as(
        "SELECT user_id, half FROM halves WHERE released = 0 AND (?1 IS NULL OR user_id = ?1) \
         ORDER BY user_id, half_id LIMIT ?2",
    )
    .bind(user)
    .bind(MOST)
    .fetch_all(shared.db.read())
    .await
    .map_err(fault)?;
    rows.into_iter()
        .map(|(user, text)| {
            let Half { call } = serde_json::from_str(&text).map_err(unreadable)?;
            let since = OffsetDateTime::from_unix_timestamp(call.start_time.div_euclid(1_000));
            let remote = if call.remote.private { "private".to_owned() } else { call.remote.address.value };
            Ok([
                user,
                call.id.0,
                call.external_tracking_id,
                format!("{:?}", call.personality),
                format!("{:?}", call.state),
                remote,
                since.ok().and_then(|since| since.format(&Rfc3339).ok()).unwrap_or_default(),
            ])
        })
        .collect()
}

fn release(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Done {
    let user = UserId::new(&needed(context, arguments, 0)?);
    let call = CallId(needed(context, arguments, 1)?);
    with_store(
        context,
        |shared| async move { Control { shared }.act(&user, &call, &CallAction::Release).await },
    )?;
    Ok(ActionOutput::default())
}
