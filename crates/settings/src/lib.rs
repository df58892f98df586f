//! The configuration tree of the suite: declared once, used five ways.
//!
//! Every setting is declared next to the code that uses it, with [`context!`]: the macro gives a typed struct and the
//! [`Context`] from which the CLI, its help and completion, validation, the reference page and the export are made.
//! A crate collects its contexts, whole-tree checks and actions in a [`Module`]; a process puts the modules of what it
//! hosts into a [`Registry`] and opens the [`Store`] of its data directory with it.
//!
//! This crate must not know any application, protocol or terminal. Reading order: [`Context`], [`Parameter`], [`Kind`],
//! [`Snapshot`], [`Change`], [`Store`].
//!
//! ```
//! use openadp_settings::{Context, Kind, Module, Parameter, Registry, Store, Tree, context};
//!
//! context! {
//!     /// How long a door stays open.
//!     pub struct Door = Context::single(Tree::Adp, "System/Door") => {
//!         /// Seconds until the door closes by itself.
//!         pub open_seconds: u32 = Parameter::new("openSeconds", Kind::integer(1, 60)).default("10").unit("seconds");
//!     }
//! }
//!
//! let module = Module::new("door").contexts(&[<Door as openadp_settings::Settings>::CONTEXT]);
//! let store = Store::in_memory(Registry::new([module]).expect("declared well"));
//! assert_eq!(store.get::<Door>().open_seconds, 10);
//! ```

mod apply;
mod audit;
mod change;
mod declare;
mod editing;
mod export;
mod files;
mod journal;
mod kind;
mod machine_key;
mod masked;
mod names;
mod network;
mod pending;
mod registry;
mod revision;
mod rights;
mod snapshot;
mod store;
mod value;

pub use audit::{AuditEntry, AuditEvent, AuditReport};
pub use change::{Author, Change, Edit, Problem, Problems};
pub use declare::{
    Action, ActionContext, ActionOutput, Align, Apply, Context, Effective, Parameter, Presented, Remark,
    Role, RowRemark, Settings, Shape, Tree, Unused,
};
pub use export::decoded;
pub use journal::Damage;
pub use kind::{Kind, NamedKind};
pub use machine_key::{MachineKey, MachineKeyError};
pub use masked::MaskedSnapshot;
pub use names::nearest;
pub use network::Network;
pub use pending::{MAX_WAIT_MINUTES, Pending};
pub use registry::{Check, Module, Registry, RegistryError};
pub use revision::{Origin, Revision, RowChange, SecretError};
pub use rights::{Asker, Rights};
pub use snapshot::{Row, Snapshot, Values};
pub use store::{ActionDone, Committed, Live, OpenError, Preview, Store};
pub use value::{FromValue, Secret, Value};
