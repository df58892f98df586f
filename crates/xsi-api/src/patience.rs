//! How long the application server may take for a request, and how often a request is put to it.

use crate::error::ApiError;
use crate::limits::CommunicationDefaults;
use openadp_appserver::PortError;
use openadp_settings::{Live, Store};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// All tries together: every request is answered within two seconds.
const ALL_TRIES: Duration = Duration::from_millis(1_800);
/// Before the next try, where the one before it failed at once.
const PAUSE: Duration = Duration::from_millis(20);

/// It took too long.
#[derive(Debug, thiserror::Error)]
#[error("no answer within {} ms", .0.as_millis())]
struct TimedOut(Duration);

/// The limits of `System/CommunicationUtility/DefaultSettings`.
pub(crate) struct Patience(Live<CommunicationDefaults>);

impl Patience {
    pub(crate) fn new(store: &Arc<Store>) -> Self {
        Self(store.live())
    }

    /// Asks the application server something that changes something, so that it is asked once.
    ///
    /// # Errors
    /// What the question gives; `Unavailable` when there is no answer in time.
    pub(crate) async fn once<T>(
        &self,
        question: impl Future<Output = Result<T, ApiError>>,
    ) -> Result<T, ApiError> {
        let limit = Duration::from_millis(self.0.load().answer_millis.into());
        attempt(limit.min(ALL_TRIES), question).await
    }

    /// Asks the application server something that does no harm, and again where it does not answer, as often as is set.
    ///
    /// # Errors
    /// Those of [`Self::once`], of the last try.
    pub(crate) async fn ask<T, F>(&self, mut question: impl FnMut() -> F) -> Result<T, ApiError>
    where
        F: Future<Output = Result<T, ApiError>>,
    {
        let settings = self.0.load();
        let limit = Duration::from_millis(settings.answer_millis.into());
        let end = Instant::now() + ALL_TRIES;
        let mut left = settings.retries;
        loop {
            let rest = end.saturating_duration_since(Instant::now());
            match attempt(limit.min(rest), question()).await {
                Err(ApiError::Unavailable { .. }) if left > 0 && Instant::now() + PAUSE < end => {}
                answer => return answer,
            }
            left -= 1;
            metrics::counter!("xsi_application_server_retries_total").increment(1);
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// One try.
async fn attempt<T>(
    limit: Duration,
    question: impl Future<Output = Result<T, ApiError>>,
) -> Result<T, ApiError> {
    let (kind, error) = match tokio::time::timeout(limit, question).await {
        Ok(Err(error @ ApiError::Unavailable { .. })) => ("unavailable", error),
        Ok(answer) => return answer,
        Err(_) => {
            let source = PortError::Unavailable(Box::new(TimedOut(limit)));
            ("timedOut", ApiError::Unavailable { source })
        }
    };
    metrics::counter!("xsi_application_server_failures_total", "kind" => kind).increment(1);
    Err(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MODULE;
    use openadp_settings::{Author, Change, Edit, Registry};
    use std::cell::Cell;
    use std::collections::BTreeMap;
    use time::OffsetDateTime;

    fn patience(values: &[(&str, &str)]) -> Patience {
        let store = Store::in_memory(Registry::new([MODULE]).expect("declared well"));
        let values = values.iter().map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned())));
        let edit = Edit::Set {
            context: "ADP_CLI/System/CommunicationUtility/DefaultSettings".to_owned(),
            key: Vec::new(),
            values: values.collect::<BTreeMap<_, _>>(),
        };
        let change = Change { author: Author("test".into()), comment: None, edits: vec![edit], force: false };
        store.commit(&change, OffsetDateTime::UNIX_EPOCH).expect("taken");
        Patience::new(&store)
    }
    fn unavailable() -> ApiError {
        ApiError::Unavailable { source: PortError::Unavailable("busy".into()) }
    }
    /// How often a question is asked that is never answered, and how long that takes.
    async fn silence(patience: &Patience, repeatable: bool) -> (u32, Duration) {
        let (asked, began) = (Cell::new(0), Instant::now());
        let question = || {
            asked.set(asked.get() + 1);
            std::future::pending::<Result<(), _>>()
        };
        let answer = if repeatable { patience.ask(question).await } else { patience.once(question()).await };
        assert!(matches!(answer, Err(ApiError::Unavailable { .. })), "{answer:?}");
        (asked.get(), began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_when_it_is_set_to() {
        let once = patience(&[("responseTimeoutInMilliseconds", "300"), ("retries", "0")]);
        assert_eq!(silence(&once, true).await, (1, Duration::from_millis(300)));
        let thrice = patience(&[("responseTimeoutInMilliseconds", "300"), ("retries", "2")]);
        assert_eq!(silence(&thrice, true).await, (3, Duration::from_millis(940)));
        assert_eq!(silence(&thrice, false).await, (1, Duration::from_millis(300)), "what changes something");
    }

    #[tokio::test(start_paused = true)]
    async fn all_tries_together_are_done_in_time() {
        for limit in ["100", "700", "1800"] {
            let patience = patience(&[("responseTimeoutInMilliseconds", limit), ("retries", "5")]);
            let (asked, took) = silence(&patience, true).await;
            assert!(took <= ALL_TRIES && (1..=6).contains(&asked), "{limit}: {asked} in {took:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_was_not_answered_is_asked_again() {
        let patience = patience(&[("retries", "3")]);
        let asked = Cell::new(0);
        let second: Result<u32, _> = patience
            .ask(|| {
                asked.set(asked.get() + 1);
                std::future::ready(if asked.get() == 1 { Err(unavailable()) } else { Ok(asked.get()) })
            })
            .await;
        assert_eq!(second.expect("the second answers"), 2);
        let refused: Result<(), _> = patience
            .ask(|| {
                asked.set(asked.get() + 1);
                std::future::ready(Err(ApiError::Forbidden))
            })
            .await;
        assert!(matches!(refused, Err(ApiError::Forbidden)));
        assert_eq!(asked.get(), 3, "a refusal is an answer");
    }
}
