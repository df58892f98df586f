//! Alarms over the prompt: `Monitoring/Alarm` open, show, close. cli.md 1.6

use crate::engine::{Output, Session};
use crate::failure::Failure;
use openadp_alarms::Follower;
use openadp_daemon::live_lines;

/// The connection to the alarms of the installation.
pub(crate) struct Live {
    follower: Follower,
    shown: bool,
}

impl Session {
    /// One of the three commands.
    pub(crate) fn live(&mut self, command: &str, state: Option<&str>) -> Result<Output, Failure> {
        match command {
            "open" => {
                let Some(data_dir) = self.backend.data_dir() else {
                    return Err(Failure::refused(command, "there is no installation to connect to"));
                };
                let follower = Follower::new(data_dir).map_err(|error| {
                    Failure::refused(command, &format!("cannot read the alarms: {error}"))
                })?;
                self.live = Some(Live { follower, shown: false });
            }
            "close" => self.live = None,
            _ => match &mut self.live {
                Some(live) => live.shown = state == Some("on"),
                None => {
                    return Err(Failure::refused(command, "the channel to the alarms is not open")
                        .hint("open connects to them"));
                }
            },
        }
        Ok(Output::lines(vec!["...Done".to_owned()]))
    }

    /// Whether alarms are to be shown while the session waits for a line.
    pub(crate) fn shows_alarms(&self) -> bool {
        self.live.as_ref().is_some_and(|live| live.shown)
    }

    /// What is to be shown now.
    pub(crate) fn alarms(&mut self) -> Vec<String> {
        let Some(live) = &mut self.live else { return Vec::new() };
        match live.follower.poll() {
            Ok(records) => records.iter().flat_map(live_lines).collect(),
            Err(error) => {
                self.live = None;
                vec![format!("The channel to the alarms went down: {error}. open connects again.")]
            }
        }
    }
}
