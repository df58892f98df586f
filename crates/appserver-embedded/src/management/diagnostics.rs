//! `AS_CLI/ASDiagnostic/Diag`: where a call would be led, and what the application server holds now.

use super::table::{details, table};
use super::{Done, needed, query, with_store};
use crate::db::fault;
use crate::engine::{End, Route};
use crate::{Shared, calls};
use openadp_appserver::{PortResult, UserId};
use openadp_settings::{Action, ActionContext, Context, Kind, Parameter, Tree, context};
use std::sync::Arc;

const ACTIONS: &[Action] = &[
    Action {
        name: "vtr",
        help: "Verifies translation and routing: says where a call from a user to what it dials would be led now, and \
               changes nothing.",
        arguments: &[
            Parameter::new("userId", Kind::text(1, 161)).mandatory().help("Who calls."),
            Parameter::new("address", Kind::text(1, 161))
                .mandatory()
                .help("What is dialled: an extension, a number, or an address."),
        ],
        run: vtr,
    },
    Action {
        name: "status",
        help: "Shows how much of everything the application server holds now.",
        arguments: &[],
        run: status,
    },
];

context! {
    /// Diagnosis of the application server.
    pub struct Diag = Context::actions_only(Tree::As, "ASDiagnostic/Diag").actions(ACTIONS) => {}
}

fn vtr(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Done {
    let (user, address) = (UserId::new(&needed(context, arguments, 0)?), needed(context, arguments, 1)?);
    let from = user.to_string();
    let dialled = address.clone();
    let route = with_store(context, async move |shared| calls::route(&shared, &user, &address).await)?;
    let (result, called) = end(&route);
    let mut lines = details([
        ("originator", from),
        ("dialled", dialled),
        ("destination", route.called.as_ref().map(ToString::to_string).unwrap_or_default()),
        ("result", result.to_owned()),
        ("terminator", called),
    ]);
    if !route.forwards.is_empty() {
        let rows: Vec<_> = route
            .forwards
            .iter()
            .map(|forward| [forward.by.to_string(), forward.to.value.clone(), forward.reason.to_owned()])
            .collect();
        lines.push(String::new());
        lines.extend(table(["Forwarded By", "To", "Reason"], [true; 3], &rows));
    }
    Ok(query(lines))
}

/// How a way ends, in words, and with whom.
fn end(route: &Route) -> (&'static str, String) {
    match &route.end {
        End::Ring(user) => ("rings", user.to_string()),
        End::Mailbox(user) => ("goes to the mailbox", user.to_string()),
        End::Queue(user) => ("waits in the queue", user.to_string()),
        End::Unreachable(user) => ("nothing can ring", user.to_string()),
        End::Busy(user) => ("busy", user.to_string()),
        End::Caller => ("the caller would call itself", String::new()),
        End::Refused => ("refused", String::new()),
        End::Unknown => ("no such number", String::new()),
        End::TooManyForwards => ("forwarded too often", String::new()),
    }
}

fn status(context: &ActionContext<'_>, _: &[Option<String>]) -> Done {
    Ok(query(with_store(context, counts)?))
}

async fn counts(shared: Arc<Shared>) -> PortResult<Vec<String>> {
    let mut tx = shared.db.snapshot().await?;
    let mut lines = Vec::new();
    for (name, statement) in [
        ("serviceProviders", "SELECT COUNT(*) FROM providers"),
        ("groups", "SELECT COUNT(*) FROM groups"),
        ("users", "SELECT COUNT(*) FROM users"),
        ("devices", "SELECT COUNT(*) FROM devices"),
        ("registrations", "SELECT COUNT(*) FROM push_registrations"),
        ("calls", "SELECT COUNT(DISTINCT link) FROM halves WHERE released = 0"),
        ("channels", "SELECT COUNT(*) FROM channels"),
        ("subscriptions", "SELECT COUNT(*) FROM subscriptions"),
        ("eventsKept", "SELECT COUNT(*) FROM feed"),
        ("lastEvent", "SELECT COALESCE((SELECT seq FROM sqlite_sequence WHERE name = 'feed'), 0)"),
        ("pushesWaiting", "SELECT COUNT(*) FROM outbox"),
    ] {
        let (count,): (i64,) = sqlx::query_as(statement).fetch_one(&mut *tx).await.map_err(fault)?;
        lines.push(format!("  {name} = {count}"));
    }
    Ok(lines)
}
