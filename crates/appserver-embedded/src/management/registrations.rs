//! `AS_CLI/System/Registration/Contacts`: which apps are registered, for whom, and where they are reached.

use super::table::table;
use super::{Done, argument, query, with_store};
use crate::Shared;
use crate::db::{fault, unreadable};
use openadp_appserver::{PortResult, PushRegistration};
use openadp_settings::{Action, ActionContext, Context, Kind, Parameter, Tree, context};
use std::sync::Arc;
use time::format_description::well_known::Rfc3339;

/// Most registrations that are listed.
const MOST: i64 = 10_000;

context! {
    /// Registrations of apps and telephones: where a call of a subscriber rings. Apps register for pushes; this application
    /// server has no registrar for SIP.
    pub struct Contacts = Context::actions_only(Tree::As, "System/Registration/Contacts").actions(&[
        Action {
            name: "get",
            help: "Lists the registrations of all subscribers, or of one.",
            arguments: &[USER],
            run: get,
        },
    ]) => {}
}

const USER: Parameter = Parameter::new("userId", Kind::text(0, 161))
    .default("")
    .mandatory()
    .help("A subscriber; all where none is given.");

fn get(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Done {
    let user = argument(arguments, 0).filter(|user| !user.is_empty()).map(str::to_ascii_lowercase);
    let rows = with_store(context, |shared| contacts(shared, user))?;
    let headers = ["User Id", "Registration Id", "Application Id", "Device OS", "Tokens", "Registered"];
    Ok(query(table(headers, [true, true, true, false, false, false], &rows)))
}

async fn contacts(shared: Arc<Shared>, user: Option<String>) -> PortResult<Vec<[String; 6]>> {
    let rows: Vec<(String, i64, String)> = sqlx::query_as(
        "SELECT user_id, registered_at, registration FROM push_registrations WHERE ?1 IS NULL OR user_id = ?1 \
         ORDER BY user_id, registered_at LIMIT ?2",
    )
    .bind(user)
    .bind(MOST)
    .fetch_all(shared.db.read())
    .await
    .map_err(fault)?;
    rows.into_iter()
        .map(|(user, at, text)| {
            let registration: PushRegistration = serde_json::from_str(&text).map_err(unreadable)?;
            Ok([
                user,
                registration.registration_id,
                registration.application_id,
                registration.device_os_type,
                registration.tokens.len().to_string(),
                time::OffsetDateTime::from_unix_timestamp(at.div_euclid(1_000))
                    .ok()
                    .and_then(|at| at.format(&Rfc3339).ok())
                    .unwrap_or_default(),
            ])
        })
        .collect()
}
