//! `AS_CLI/System/LongLivedTokens`: voiding tokens from the command line. authservice.md 8 rule 4
//!
//! Commands run in a host or in the CLI itself; either way they write to the store that all processes of the node read at
//! least once a second while tokens come.

use crate::credentials::revoke;
use crate::db::{Db, FEED};
use openadp_appserver::{PortError, SystemClock, UserId};
use openadp_settings::{
    Action, ActionContext, ActionOutput, Context, Kind, Parameter, Problem, Problems, Tree, context,
};
use openadp_wake::Wake;
use std::path::Path;
use std::sync::Arc;
use tokio_util::task::TaskTracker;

const ACTIONS: &[Action] = &[
    Action {
        name: "revokeTokens",
        help: "Voids all long-lived tokens that were issued to a user until now, on every node of this installation.",
        arguments: &[Parameter::new("userId", Kind::text(1, 161))
            .mandatory()
            .help("The user's id with its domain.")],
        run: revoke_user,
    },
    Action {
        name: "revokeAllTokens",
        help: "Voids all long-lived tokens that were issued until now, everybody's.",
        arguments: &[],
        run: revoke_all,
    },
];

context! {
    /// Long-lived tokens as far as the application server decides over them: which are void by the time of their issue.
    pub struct LongLivedTokens = Context::actions_only(Tree::As, "System/LongLivedTokens").actions(ACTIONS) => {}
}

fn revoke_user(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Result<ActionOutput, Problems> {
    let user = UserId::new(arguments.first().and_then(Option::as_deref).unwrap_or_default());
    run(context, Some(user))
}

fn revoke_all(context: &ActionContext<'_>, _: &[Option<String>]) -> Result<ActionOutput, Problems> {
    run(context, None)
}

fn run(context: &ActionContext<'_>, user: Option<UserId>) -> Result<ActionOutput, Problems> {
    let problem = |reason: String| Problem::new(context.context.full_path(), reason);
    let data_dir = context.data_dir.to_owned();
    // A thread of its own: this may be called from one of a runtime.
    let done = std::thread::spawn(move || write(&data_dir, user.as_ref())).join();
    match done {
        Ok(Ok(())) => Ok(ActionOutput::default()),
        Ok(Err(PortError::NotFound { .. })) => Err(problem("there is no such user".to_owned()).into()),
        Ok(Err(error)) => Err(problem(format!("the tokens are not revoked: {error}"))
            .hint("try again; nothing has changed")
            .into()),
        Err(_) => Err(problem("the tokens are not revoked".to_owned()).into()),
    }
}

fn write(data_dir: &Path, user: Option<&UserId>) -> Result<(), PortError> {
    let internal = |error: Box<dyn std::error::Error + Send + Sync>| PortError::Internal(error);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| internal(error.into()))?;
    runtime.block_on(async {
        let tasks = TaskTracker::new();
        let db = Db::open(data_dir, Wake::in_process(), tasks, Arc::new(SystemClock))
            .await
            .map_err(|error| internal(error.into()))?;
        let done = revoke(&db, user).await;
        db.close().await;
        done
    })?;
    // Whoever is not told reads it within a second.
    if let Err(error) = Wake::notify_once(data_dir, FEED) {
        tracing::debug!(%error, "no process could be told of a revocation");
    }
    Ok(())
}
