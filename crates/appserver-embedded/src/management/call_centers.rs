//! `AS_CLI/SubscriberMgmt/CallCenter`: which users are call centres, who their agents are, and why agents are unavailable.

use super::table::table;
use super::{Done, argument, needed, provisioning, query, with_store};
use crate::NewCallCenter;
use crate::db::{fault, unreadable};
use crate::engine::Center;
use openadp_appserver::{AgentStatus, PortResult, UserId};
use openadp_settings::{Action, ActionContext, ActionOutput, Context, Kind, Parameter, Tree, context};

/// Most rows that are listed.
const MOST: i64 = 10_000;
const CENTER: Parameter = Parameter::new("userId", Kind::text(1, 161))
    .mandatory()
    .help("User id of the call center with its domain.");
const AGENT: Parameter = Parameter::new("agentUserId", Kind::text(1, 161))
    .mandatory()
    .help("User id of the agent with its domain.");
const PROVIDER: Parameter =
    Parameter::new("serviceProviderId", Kind::text(1, 80)).mandatory().help("Id of the enterprise.");
const CODE: Parameter = Parameter::new("code", Kind::text(1, 10)).mandatory().help("Letters and digits.");

const ACTIONS: &[Action] = &[
    Action {
        name: "get",
        help: "Lists all call centers with who waits and who is there.",
        arguments: &[],
        run: get,
    },
    Action {
        name: "set",
        help: "Makes a user a call center, or changes one: whoever calls it waits for an agent.",
        arguments: &[
            CENTER,
            Parameter::new("queueLength", Kind::integer(1, 525)).default("10").help("Most callers who wait."),
            Parameter::new("longestWaitInSeconds", Kind::integer(1, 7_200))
                .default("600")
                .help("Longest time that a caller waits."),
            Parameter::new("overflowTo", Kind::text(0, 161))
                .help("Number for those who find it full or waited too long; without it they are released."),
            Parameter::new("numberOfRings", Kind::integer(1, 20))
                .default("4")
                .help("Rings at an agent before the next one is asked."),
            Parameter::new("wrapUpInSeconds", Kind::integer(0, 3_600))
                .default("0")
                .help("Time for working up a call."),
        ],
        run: set,
    },
    Action {
        name: "delete",
        help: "Makes a call center an ordinary user again.",
        arguments: &[CENTER],
        run: delete,
    },
    Action {
        name: "agents",
        help: "Lists the agents of a call center with their states.",
        arguments: &[CENTER],
        run: agents,
    },
    Action {
        name: "addAgent",
        help: "Makes a user of the enterprise an agent.",
        arguments: &[CENTER, AGENT],
        run: add_agent,
    },
    Action {
        name: "deleteAgent",
        help: "Takes an agent away.",
        arguments: &[CENTER, AGENT],
        run: delete_agent,
    },
    Action {
        name: "setCode",
        help: "Gives an enterprise a code for why its agents are unavailable.",
        arguments: &[
            PROVIDER,
            CODE,
            Parameter::new("description", Kind::text(0, 40)).mandatory().help("What it means."),
        ],
        run: set_code,
    },
    Action { name: "deleteCode", help: "Takes a code away.", arguments: &[PROVIDER, CODE], run: delete_code },
];

context! {
    /// Call centers: users whose callers wait for agents.
    pub struct CallCenters = Context::actions_only(Tree::As, "SubscriberMgmt/CallCenter").actions(ACTIONS) => {}
}

fn get(context: &ActionContext<'_>, _: &[Option<String>]) -> Done {
    type Row = (String, String, i64, i64, i64);
    let rows: Vec<Row> = with_store(context, async |shared| {
        sqlx::query_as(
            "SELECT c.user_id, c.settings, (SELECT COUNT(*) FROM queue q WHERE q.call_center = c.user_id), \
             (SELECT COUNT(*) FROM agents a WHERE a.call_center = c.user_id), \
             (SELECT COUNT(*) FROM agents a JOIN agent_states s USING (user_id) WHERE a.call_center = c.user_id AND a.joined \
             AND s.free_since IS NOT NULL) FROM call_centers c ORDER BY c.user_id LIMIT ?",
        )
        .bind(MOST)
        .fetch_all(shared.db.read())
        .await
        .map_err(fault)
    })?;
    let mut lines = Vec::new();
    for (user, settings, waiting, agents, free) in rows {
        let size = serde_json::from_str::<Center>(&settings)
            .map_or_else(|_| String::new(), |center| center.size.to_string());
        lines.push([user, size, waiting.to_string(), agents.to_string(), free.to_string()]);
    }
    let headers = ["User Id", "Queue Length", "Waiting", "Agents", "Free"];
    Ok(query(table(headers, [true, false, false, false, false], &lines)))
}

fn number(arguments: &[Option<String>], index: usize, default: u32) -> u32 {
    argument(arguments, index).and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn set(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Done {
    let center = NewCallCenter {
        user_id: UserId::new(&needed(context, arguments, 0)?),
        queue_length: number(arguments, 1, 10),
        longest_wait: number(arguments, 2, 600),
        overflow_to: argument(arguments, 3).filter(|text| !text.is_empty()).map(str::to_owned),
        number_of_rings: number(arguments, 4, 4),
        wrap_up: number(arguments, 5, 0),
    };
    with_store(context, async move |shared| provisioning(shared).put_call_center(&center).await)?;
    Ok(ActionOutput::default())
}

fn delete(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Done {
    let center = UserId::new(&needed(context, arguments, 0)?);
    with_store(context, async move |shared| provisioning(shared).delete_call_center(&center).await)?;
    Ok(ActionOutput::default())
}

fn agents(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Done {
    let center = needed(context, arguments, 0)?.to_lowercase();
    let rows = with_store(context, async move |shared| -> PortResult<Vec<[String; 3]>> {
        let rows: Vec<(String, bool, String)> = sqlx::query_as(
            "SELECT a.user_id, a.joined, s.status FROM agents a JOIN agent_states s USING (user_id) \
             WHERE a.call_center = ? ORDER BY a.user_id LIMIT ?",
        )
        .bind(center)
        .bind(MOST)
        .fetch_all(shared.db.read())
        .await
        .map_err(fault)?;
        let row = |(user, joined, status): (String, bool, String)| {
            let status: AgentStatus = serde_json::from_str(&status).map_err(unreadable)?;
            Ok([user, joined.to_string(), format!("{:?}", status.state)])
        };
        rows.into_iter().map(row).collect()
    })?;
    Ok(query(table(["User Id", "Joined", "State"], [true, false, true], &rows)))
}

fn both(
    context: &ActionContext<'_>,
    arguments: &[Option<String>],
) -> Result<(UserId, UserId), openadp_settings::Problems> {
    Ok((UserId::new(&needed(context, arguments, 0)?), UserId::new(&needed(context, arguments, 1)?)))
}

fn add_agent(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Done {
    let (center, agent) = both(context, arguments)?;
    with_store(context, async move |shared| provisioning(shared).put_agent(&center, &agent).await)?;
    Ok(ActionOutput::default())
}

fn delete_agent(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Done {
    let (center, agent) = both(context, arguments)?;
    with_store(context, async move |shared| provisioning(shared).delete_agent(&center, &agent).await)?;
    Ok(ActionOutput::default())
}

fn set_code(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Done {
    let (provider, code) = (needed(context, arguments, 0)?, needed(context, arguments, 1)?);
    let description = argument(arguments, 2).unwrap_or_default().to_owned();
    with_store(context, async move |shared| {
        provisioning(shared).put_unavailable_code(&provider, &code, Some(&description)).await
    })?;
    Ok(ActionOutput::default())
}

fn delete_code(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Done {
    let (provider, code) = (needed(context, arguments, 0)?, needed(context, arguments, 1)?);
    with_store(context, async move |shared| {
        provisioning(shared).put_unavailable_code(&provider, &code, None).await
    })?;
    Ok(ActionOutput::default())
}
