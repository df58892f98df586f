//! `watch`: what happens to subscribers, printed as it happens.

use crate::console::Console;
use crate::engine::{Format, Output, Session};
use crate::failure::Failure;
use serde_json::Value;
use std::time::Duration;

/// Where the events are read.
const EVENTS: &str = "ADP_CLI/Monitoring/Events";
const FOLLOW: &str = "follow";
/// What is between two looks; the one who is asked waits for events.
const BREATH: Duration = Duration::from_millis(1);

impl Session {
    /// `watch target [number]`: until a key is pressed, or that many events were printed.
    pub(crate) fn watch(
        &mut self,
        target: Option<&str>,
        most: u64,
        io: &mut dyn Console,
    ) -> Result<Output, Failure> {
        let Some(context) = self.registry.context(EVENTS) else {
            return Err(Failure::refused("watch", "there are no events in this installation"));
        };
        let Some(target) = target.map(str::to_owned) else {
            let wanted = context.actions.iter().find_map(|action| action.arguments.first());
            return Err(wanted.map_or_else(
                || Failure::syntax("watch", "Mandatory parameter missing"),
                |parameter| Failure::missing("watch", parameter),
            ));
        };
        let json = self.options.format == Format::Json;
        let (mut after, mut shown) = (None::<u64>, 0);
        while shown < most {
            let arguments = [Some(target.clone()), after.map(|position| position.to_string())];
            let done = self
                .backend
                .action(context, FOLLOW, &arguments, false)
                .map_err(|error| Failure::of("watch", Some(context), error))?;
            for line in done.lines {
                let Ok(event) = serde_json::from_str::<Value>(&line) else { continue };
                if let Some(position) = event["position"].as_u64() {
                    after = Some(position);
                } else if shown < most {
                    io.print(&if json { line } else { shown_as_text(&event) });
                    shown += 1;
                }
            }
            if shown < most && io.wait(BREATH) {
                break;
            }
        }
        Ok(Output::none())
    }
}

/// `time  user  event  call  state  other party`; what there is not is left out.
fn shown_as_text(event: &Value) -> String {
    if event["missed"] == true {
        return "(events were missed: they came faster than they could be shown)".to_owned();
    }
    let parts = ["time", "userId", "event", "callId", "state", "remote"];
    parts.iter().filter_map(|part| event[part].as_str()).collect::<Vec<_>>().join("  ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_there_is_not_is_left_out() {
        let event = json!({"time": "T", "userId": "alice", "event": "HookStatusEvent", "state": "OffHook"});
        assert_eq!(shown_as_text(&event), "T  alice  HookStatusEvent  OffHook");
    }
}
