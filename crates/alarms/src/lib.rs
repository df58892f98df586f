//! Alarms: what there are, which are raised, and where their history is kept.
//!
//! An alarm is declared once, in [`list`], with its severity, what it means and what to do. Code that finds something wrong
//! raises it with what it is about, and clears it when it finds that well again; to raise what is raised already changes
//! nothing, so a check that runs again and again may simply say what it finds:
//!
//! ```
//! use openadp_alarms::{INTERFACE_NOT_LISTENING, Severity};
//!
//! let about = [("interface", "192.0.2.7:443")];
//! INTERFACE_NOT_LISTENING.raise(&about, "the address is in use");
//! assert!(openadp_alarms::board().is_raised(&INTERFACE_NOT_LISTENING, &about));
//! INTERFACE_NOT_LISTENING.clear(&about);
//! ```
//!
//! [`Alarm::raise_as`] gives another severity than the declared one (a certificate that expires soon, and then tomorrow), and
//! [`Alarm::report`] tells of what has no end (a panic). Each makes the log line too, with the alarm's name in the field
//! `alarm`, and the metrics `alarms_active` and `alarms_total`.
//!
//! What is raised is kept per process ([`Board`]); the processes of a data directory write it below `alarms/` there
//! ([`AlarmFiles`]), where all of them and the CLI read it. This crate must not know settings, applications or terminals.

mod alarm;
mod board;
mod files;
pub mod list;
mod record;

pub use alarm::{Alarm, Severity};
pub use board::{Board, board};
pub use files::{AlarmFiles, Follower, active, history};
pub use list::*;
pub use record::{Event, Record};
