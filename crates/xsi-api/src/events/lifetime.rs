//! How long channels and subscriptions live (xsi.md 5.2, 5.5).

use crate::delivery::Millis;

/// What is never granted less, seconds.
const SHORTEST: i64 = 3600;
/// For ever.
const NEVER: i64 = 2_147_483_647;

/// A granted lifetime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lifetime {
    /// Seconds, as the answer says.
    pub(crate) seconds: i64,
    /// When it is over; `None` for never.
    pub(crate) expires_at: Option<Millis>,
}

/// Grants what is asked for, within bounds.
pub(crate) fn grant(now: Millis, asked: Option<i64>, maximum: u32) -> Lifetime {
    match asked {
        Some(seconds) if seconds >= NEVER => Lifetime { seconds: NEVER, expires_at: None },
        other => {
            let seconds = other.unwrap_or(SHORTEST).clamp(SHORTEST, i64::from(maximum).max(SHORTEST));
            Lifetime { seconds, expires_at: Some(now + seconds * 1000) }
        }
    }
}

/// What is left, as answers say it.
pub(crate) fn remaining(now: Millis, expires_at: Option<Millis>) -> i64 {
    expires_at.map_or(NEVER, |at| (at - now).max(0) / 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_are_clamped() {
        let seconds = |asked| grant(0, asked, 86_400).seconds;
        assert_eq!(seconds(None), 3600);
        assert_eq!(seconds(Some(0)), 3600);
        assert_eq!(seconds(Some(60)), 3600);
        assert_eq!(seconds(Some(7200)), 7200);
        assert_eq!(seconds(Some(1_000_000)), 86_400);
        assert_eq!(seconds(Some(NEVER)), NEVER);
        assert_eq!(grant(0, Some(NEVER), 86_400).expires_at, None);
        assert_eq!(grant(500, Some(3600), 86_400).expires_at, Some(3_600_500));
        assert_eq!(remaining(500, Some(3_600_500)), 3600);
        assert_eq!(remaining(9_000_000, Some(3_600_500)), 0);
        assert_eq!(remaining(1, None), NEVER);
    }
}
