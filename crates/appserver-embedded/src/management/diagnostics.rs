//! `AS_CLI/ASDiagnostic/Diag`: where a call would be led, and what the application server holds now.

use super::sip::{Identity, Message, Start};
use super::table::{details, table};
use super::{Done, needed, query, with_store};
use crate::db::fault;
use crate::engine::{End, Route};
use crate::proxy_policy::{Policies, ProxyRule, Side};
use crate::{Shared, calls};
use openadp_appserver::{PortResult, UserId};
use openadp_settings::{Action, ActionContext, Context, Kind, Parameter, Problem, Rights, Tree, context};
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
        name: "vtri",
        help: "Verifies translation and routing of a SIP message: says where the call of an INVITE would be led now, and which of \
               its headers and option tags would go on by ProxyPolicy of Interface/SIP; of an answer the latter alone. The \
               message is pasted after the command and ended by a line with a single '.'. Nothing is changed or sent: this \
               build has no interface for SIP.",
        arguments: &[Parameter::new("message", Kind::Lines { max: 65_535 })
            .mandatory()
            .help("First line and headers of the message, and its body if there is one.")],
        run: vtri,
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
    pub struct Diag = Context::actions_only(Tree::As, "ASDiagnostic/Diag")
        .action_needs(&[("vtr", Rights::View), ("vtri", Rights::View)])
        .actions(ACTIONS) => {}
}

fn vtr(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Done {
    let (user, address) = (UserId::new(&needed(context, arguments, 0)?), needed(context, arguments, 1)?);
    let from = user.to_string();
    let dialled = address.clone();
    let route = with_store(context, async move |shared| calls::route(&shared, &user, &address).await)?;
    Ok(query(route_lines(from, dialled, &route)))
}

/// A way, as both commands show it.
fn route_lines(from: String, dialled: String, route: &Route) -> Vec<String> {
    let (result, called) = end(route);
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
    lines
}

/// Who of a message is a subscriber, and where its call would be led.
struct Parties {
    caller: Option<UserId>,
    called: Option<UserId>,
    route: Option<Route>,
}

async fn parties(
    shared: Arc<Shared>,
    caller: Option<Identity>,
    called: Option<Identity>,
    leads: bool,
) -> PortResult<Parties> {
    let mut tx = shared.db.snapshot().await?;
    let mut subscribers = [None, None];
    for (subscriber, identity) in subscribers.iter_mut().zip([&caller, &called]) {
        let Some(Identity { user, address }) = identity else { continue };
        let found: Option<(String,)> =
            sqlx::query_as("SELECT user_id FROM users WHERE user_id IN (?1, ?2) OR number = ?1 LIMIT 1")
                .bind(user)
                .bind(address)
                .fetch_optional(&mut *tx)
                .await
                .map_err(fault)?;
        *subscriber = found.map(|(user,)| UserId::new(&user));
    }
    drop(tx);
    let [caller, mut of_uri] = subscribers;
    let route = match (&caller, &called) {
        (Some(caller), Some(called)) if leads => Some(calls::route(&shared, caller, &called.user).await?),
        _ => None,
    };
    // Extensions are known only by the way that they lead.
    if let Some(route) = &route {
        of_uri = route.called.clone().or(of_uri);
    }
    Ok(Parties { caller, called: of_uri, route })
}

fn vtri(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Done {
    let message = Message::parse(&needed(context, arguments, 0)?)
        .map_err(|reason| Problem::new(context.context.full_path(), reason).parameter("message"))?;
    let (is_request, leads) = match &message.start {
        Start::Request { method, .. } => (true, method == "INVITE"),
        Start::Response { .. } => (false, false),
    };
    let (caller, called) = (message.caller(), message.called());
    let missing = |what: &str| {
        Problem::new(context.context.full_path(), format!("the message has no {what}")).parameter("message")
    };
    let from = caller.clone().ok_or_else(|| missing("From or P-Asserted-Identity with a SIP or tel URI"))?;
    let dialled = called.clone().ok_or_else(|| missing("SIP or tel URI of who is called"))?;
    let parties = with_store(context, async move |shared| parties(shared, caller, called, leads).await)?;
    let mut lines = match (&parties.route, &message.start) {
        (Some(route), _) => {
            let from = parties.caller.as_ref().map(ToString::to_string).unwrap_or_default();
            route_lines(from, dialled.user, route)
        }
        (None, start) => {
            let result = match start {
                _ if leads => "it comes from the network, and this build has no way in from there".to_owned(),
                Start::Request { method, .. } => format!("{method} leads no call"),
                Start::Response { status } => format!("the answer {status}"),
            };
            let name = |user: &Option<UserId>, address: &str| {
                user.as_ref().map_or_else(|| address.to_owned(), ToString::to_string)
            };
            details([
                ("originator", name(&parties.caller, &from.address)),
                ("dialled", dialled.user.clone()),
                ("destination", name(&parties.called, &dialled.address)),
                ("result", result),
            ])
        }
    };
    let sides = [&parties.caller, &parties.called].map(|user| Side::of_subscriber(user.is_some()));
    // An answer goes the other way.
    let (from, to) = if is_request { (sides[0], sides[1]) } else { (sides[1], sides[0]) };
    lines.push(format!(
        "  direction = {} from {} to {}",
        if is_request { "request" } else { "answer" },
        from.name(),
        to.name()
    ));
    lines.extend(policy_lines(context, &message, (is_request, from, to)));
    Ok(query(lines))
}

/// What the proxy policies make of a message.
fn policy_lines(context: &ActionContext<'_>, message: &Message, way: (bool, Side, Side)) -> Vec<String> {
    let policies = Policies::of(context.snapshot);
    let (is_request, from, to) = way;
    let row = |name: &str, kind: &str, rule: Option<&ProxyRule>| {
        let result = rule.map(|rule| if rule.passes(is_request, from, to) { "goes on" } else { "removed" });
        let rule = rule.map(|rule| rule.name.clone()).unwrap_or_default();
        [name.to_owned(), kind.to_owned(), rule, result.unwrap_or("ends here").to_owned()]
    };
    let mut rows: Vec<[String; 4]> = Vec::new();
    for (name, _) in &message.headers {
        if !rows.iter().any(|row| row[0].eq_ignore_ascii_case(name)) {
            rows.push(row(name, "header", policies.of_header(name)));
        }
    }
    for (tag, header) in message.option_tags() {
        rows.push(row(&tag, header, policies.of_tag(&tag)));
    }
    let mut lines = vec![String::new()];
    lines.extend(table(["Name", "Kind", "Rule", "By Policy"], [true; 4], &rows));
    lines
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
