//! Messages of the admin socket: each has one answer, and who has no role changes nothing and learns nothing.

#![no_main]

use libfuzzer_sys::fuzz_target;
use openadp_appserver::SystemClock;
use openadp_cli::modules;
use openadp_daemon::admin::{Admin, Who, respond};
use openadp_settings::{Context, Module, Registry, Store};
use std::sync::{Arc, OnceLock};

/// The user that the process runs as, and somebody else.
const OWNER: Who = Who { uid: 4_000_000_001, gid: 4_000_000_001 };
const STRANGER: Who = Who { uid: 4_000_000_002, gid: 4_000_000_002 };

/// All contexts that do nothing but hold settings: actions work on files and servers.
fn registry() -> &'static Registry {
    static REGISTRY: OnceLock<Registry> = OnceLock::new();
    REGISTRY.get_or_init(|| {
        let contexts = modules().into_iter().flat_map(|module| module.contexts.iter().copied());
        let contexts: Vec<&'static Context> = contexts.filter(|context| context.actions.is_empty()).collect();
        Registry::new([Module::new("fuzz").contexts(Vec::leak(contexts))]).expect("declared well")
    })
}

fn answered(answer: &[u8]) -> serde_json::Value {
    assert!(!answer.contains(&b'\n'), "an answer is one line");
    serde_json::from_slice(answer).expect("an answer is an object")
}

fuzz_target!(|bytes: &[u8]| {
    let admin = Admin {
        name: "fuzz".to_owned(),
        store: Store::in_memory(registry().clone()),
        clock: Arc::new(SystemClock),
        changed: Arc::new(|| {}),
        interfaces: Arc::new(|_| Box::pin(async { Vec::new() })),
    };
    for line in bytes.split(|byte| *byte == b'\n').take(20) {
        let before = admin.store.current();
        let refused = answered(&respond(line, &admin, STRANGER, OWNER.uid));
        assert!(refused.get("ok").is_none(), "{refused}");
        assert_eq!(*before, *admin.store.current());
        answered(&respond(line, &admin, OWNER, OWNER.uid));
    }
});
