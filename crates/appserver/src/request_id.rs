//! The request id that goes from the edge to the store: the container sets it, adapters record it with events.

tokio::task_local! {
    static REQUEST_ID: String;
}

/// Runs a request with its id. Ports called within see it through [`current`]; tasks that it spawns do not.
pub async fn scope<F: Future>(id: String, request: F) -> F::Output {
    REQUEST_ID.scope(id, request).await
}

/// The id of the request that is being served by this task, if any.
pub fn current() -> Option<String> {
    REQUEST_ID.try_with(Clone::clone).ok()
}

#[cfg(test)]
mod tests {
    #[tokio::test]
    async fn an_id_holds_within_its_request_only() {
        assert_eq!(super::current(), None);
        let seen = super::scope("r-1".to_owned(), async {
            let inner = super::scope("r-2".to_owned(), async { super::current() }).await;
            (super::current(), inner)
        });
        assert_eq!(seen.await, (Some("r-1".to_owned()), Some("r-2".to_owned())));
        assert_eq!(super::current(), None);
    }
}
