//! What a connection is doing, so that idle and stuck ones can be closed: HTTP/1.1 and HTTP/2 alike.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// Why a connection is closed by us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expired {
    /// A request's head was begun and not finished.
    Head,
    /// Nothing was asked for a while.
    Idle,
    /// The client does not read.
    Write,
}

impl Expired {
    /// Label of the metric.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::Idle => "idle",
            Self::Write => "write",
        }
    }
}

/// How long each state may last.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Allowed {
    pub(crate) head: Duration,
    pub(crate) idle: Duration,
    pub(crate) write: Duration,
}

#[derive(Debug)]
struct State {
    in_flight: u32,
    quiet_since: Instant,
    head_since: Option<Instant>,
    blocked_since: Option<Instant>,
}

/// What one connection is doing; clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Activity(Arc<Mutex<State>>);

impl Activity {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            in_flight: 0,
            quiet_since: Instant::now(),
            head_since: None,
            blocked_since: None,
        })))
    }
    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
    /// A request's head is complete; what this gives is held until its answer was sent.
    pub(crate) fn request(&self) -> InFlight {
        self.with(|state| {
            state.in_flight += 1;
            state.head_since = None;
        });
        InFlight(self.clone())
    }
    /// The reason to close the connection now, or the time to look again.
    pub(crate) fn check(&self, allowed: Allowed) -> Result<Instant, Expired> {
        let now = Instant::now();
        self.with(|state| {
            // Far enough to cost nothing, near enough to follow changed settings.
            let mut next = now + Duration::from_secs(10);
            let mut due =
                |since: Option<Instant>, limit: Duration, expired: Expired| match since.map(|s| s + limit) {
                    Some(end) if end <= now => Err(expired),
                    Some(end) => {
                        next = next.min(end);
                        Ok(())
                    }
                    None => Ok(()),
                };
            due(state.blocked_since, allowed.write, Expired::Write)?;
            if state.in_flight == 0 {
                due(state.head_since, allowed.head, Expired::Head)?;
                due(Some(state.quiet_since), allowed.idle, Expired::Idle)?;
            }
            Ok(next)
        })
    }
}

/// One request on a connection.
#[derive(Debug)]
pub(crate) struct InFlight(Activity);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.with(|state| {
            state.in_flight = state.in_flight.saturating_sub(1);
            state.quiet_since = Instant::now();
            state.head_since = None;
        });
    }
}

/// A stream that notes what happens on it.
#[derive(Debug)]
pub(crate) struct Watched<S> {
    inner: S,
    activity: Activity,
}

impl<S> Watched<S> {
    pub(crate) fn new(inner: S, activity: Activity) -> Self {
        Self { inner, activity }
    }
    fn wrote<T>(&self, result: Poll<T>) -> Poll<T> {
        self.activity.with(|state| {
            if result.is_pending() {
                state.blocked_since.get_or_insert_with(Instant::now);
            } else {
                state.blocked_since = None;
            }
        });
        result
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = Pin::new(&mut self.inner).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.activity.with(|state| {
                if state.in_flight == 0 {
                    state.head_since.get_or_insert_with(Instant::now);
                }
            });
        }
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.wrote(result)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.inner).poll_flush(cx);
        self.wrote(result)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.inner).poll_shutdown(cx);
        self.wrote(result)
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.wrote(result)
    }
    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    const ALLOWED: Allowed =
        Allowed { head: Duration::from_secs(2), idle: Duration::from_secs(5), write: Duration::from_secs(1) };

    #[tokio::test(start_paused = true)]
    async fn idle_head_and_request_are_told_apart() {
        let activity = Activity::new();
        let (mut client, server) = tokio::io::duplex(64);
        let mut server = Watched::new(server, activity.clone());
        assert!(activity.check(ALLOWED).is_ok());

        client.write_all(b"GET").await.unwrap();
        server.read_exact(&mut [0; 3]).await.unwrap();
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(activity.check(ALLOWED), Err(Expired::Head));

        let request = activity.request();
        tokio::time::advance(Duration::from_mins(1)).await;
        assert!(activity.check(ALLOWED).is_ok(), "a long answer is no reason to close");
        drop(request);
        assert!(activity.check(ALLOWED).is_ok());
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(activity.check(ALLOWED), Err(Expired::Idle));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_read_is_noticed() {
        let activity = Activity::new();
        let (mut client, server) = tokio::io::duplex(4);
        let mut server = Watched::new(server, activity.clone());
        let _request = activity.request();
        let _full = tokio::time::timeout(Duration::from_secs(1), server.write_all(b"more than four")).await;
        assert_eq!(activity.check(ALLOWED), Err(Expired::Write));
        client.read_exact(&mut [0; 4]).await.unwrap();
        server.write_all(b"!").await.unwrap();
        assert!(activity.check(ALLOWED).is_ok());
    }
}
