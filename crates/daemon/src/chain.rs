//! An error with its causes on one line, for logs.

use std::error::Error;
use std::fmt;

/// Shows an error and every cause of it.
pub struct ErrorChain<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for ErrorChain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        // Bounded: a chain that runs in circles ends too.
        let mut source = self.0.source();
        for _ in 0..16 {
            let Some(error) = source else { break };
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn every_cause_is_shown() {
        assert_eq!(ErrorChain(&Outer(std::io::Error::other("inner"))).to_string(), "outer: inner");
    }
}
