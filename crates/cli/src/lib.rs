//! adpcli, the administration CLI.
//!
//! It walks the two trees of contexts that the crates declare, shows what is set, changes it, and knows every revision.
//! No command is written by hand that a declaration could make: contexts, commands, grammar and help all come from the
//! [`Registry`](openadp_settings::Registry) of [`modules`]. `adpcli` acts through the admin socket of a process that knows
//! the context, or on the files of the data directory itself while none runs.
//!
//! The crate must not know what any setting means. Reading order: [`modules`], [`Session`] (a line in, effects and output
//! out; it does no input or output of its own), [`Backend`], [`Completion`], [`Console`], [`run`].
//! What operators type and read is in cli.md of the protocol pages.

mod about;
mod alias;
mod arguments;
mod backend;
mod commands;
mod complete;
mod console;
mod copy;
mod engine;
mod exchange;
mod execute;
mod failure;
mod general;
mod help;
mod keys;
mod levels;
mod line;
mod live;
mod messages;
mod modules;
mod resolve;
mod run;
mod show;
mod terminal;
mod transaction;
mod watch;
mod why;
mod words;

pub use about::Release;
pub use backend::{Applied, Asked, Backend, BackendError, Installation};
pub use complete::{Candidate, Completion};
pub use console::Console;
pub use engine::{Flow, Format, Options, Session};
pub use failure::Code;
pub use messages::{MESSAGES, Message};
pub use modules::modules;
pub use run::run;
