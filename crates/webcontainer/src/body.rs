//! Bodies of requests under limits of size and time, and how long we waited for the client to send them.

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// Why a request's body could not be read. Applications answer 413, 408 and 400.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The connection broke, or the body is malformed.
    #[error("request body broken off or malformed")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The client did not send it in time.
    #[error("request body not sent in time")]
    Timeout,
    /// More bytes than allowed.
    #[error("request body longer than {limit} bytes")]
    TooLarge {
        /// How many are allowed.
        limit: usize,
    },
}

/// Reads a request's body whole.
///
/// # Errors
/// When it is longer than `limit` bytes or than the container allows, comes too slowly, or breaks off.
pub async fn read_body(mut body: Body, limit: usize) -> Result<Bytes, BodyError> {
    let announced = body.size_hint().lower();
    if announced > u64::try_from(limit).unwrap_or(u64::MAX) {
        return Err(BodyError::TooLarge { limit });
    }
    let mut collected = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| match error.into_inner().downcast::<BodyError>() {
            Ok(own) => *own,
            Err(other) => BodyError::Broken(other),
        })?;
        if let Ok(data) = frame.into_data() {
            if data.len() > limit - collected.len() {
                return Err(BodyError::TooLarge { limit });
            }
            collected.extend_from_slice(&data);
        }
    }
    Ok(collected.freeze())
}

/// How long a request has waited for its client's body.
#[derive(Debug, Default)]
pub(crate) struct Pace(Mutex<Waited>);

#[derive(Debug, Default)]
struct Waited {
    before: Duration,
    since: Option<Instant>,
}

impl Pace {
    fn begin(&self) {
        let mut waited = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waited.since.get_or_insert_with(Instant::now);
    }
    fn end(&self) {
        let mut waited = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(since) = waited.since.take() {
            waited.before += since.elapsed();
        }
    }
    /// Time spent waiting so far.
    pub(crate) fn waited(&self) -> Duration {
        let waited = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waited.before + waited.since.map(|since| since.elapsed()).unwrap_or_default()
    }
}

/// A request's body under limits of size and time.
pub(crate) struct CappedBody<B> {
    inner: B,
    deadline: Pin<Box<Sleep>>,
    left: usize,
    limit: usize,
    pace: Arc<Pace>,
}

impl<B> CappedBody<B> {
    pub(crate) fn new(inner: B, limit: usize, timeout: Duration, pace: Arc<Pace>) -> Self {
        Self { inner, deadline: Box::pin(tokio::time::sleep(timeout)), left: limit, limit, pace }
    }
}

impl<B> HttpBody for CappedBody<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        // What is announced too long need not come first.
        if this.inner.size_hint().lower() > u64::try_from(this.left).unwrap_or(u64::MAX) {
            return Poll::Ready(Some(Err(BodyError::TooLarge { limit: this.limit })));
        }
        let Poll::Ready(frame) = Pin::new(&mut this.inner).poll_frame(cx) else {
            this.pace.begin();
            return this.deadline.as_mut().poll(cx).map(|()| {
                this.pace.end();
                Some(Err(BodyError::Timeout))
            });
        };
        this.pace.end();
        Poll::Ready(frame.map(|frame| {
            let frame = frame.map_err(|error| BodyError::Broken(error.into()))?;
            if let Some(data) = frame.data_ref() {
                this.left =
                    this.left.checked_sub(data.len()).ok_or(BodyError::TooLarge { limit: this.limit })?;
            }
            Ok(frame)
        }))
    }
    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }
    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// Most that is read of a body that nobody wants: what a client sends along with a head that is refused.
const MAX_UNWANTED: usize = 64 * 1_024;
/// Longest wait for it. A client that stops halfway must not delay its own refusal beyond what it would wait for.
const UNWANTED_TIMEOUT: Duration = Duration::from_secs(1);

/// A request's body that comes back when it is dropped before its end.
pub(crate) struct LentBody<B> {
    inner: Option<B>,
    back: Arc<Mutex<Option<B>>>,
}

/// Where a [`LentBody`] comes back to.
pub(crate) struct Unwanted<B>(Arc<Mutex<Option<B>>>);

impl<B> LentBody<B> {
    pub(crate) fn lend(inner: B) -> (Self, Unwanted<B>) {
        let back = Arc::new(Mutex::new(None));
        (Self { inner: Some(inner), back: back.clone() }, Unwanted(back))
    }
}

impl<B> Drop for LentBody<B> {
    fn drop(&mut self) {
        *self.back.lock().unwrap_or_else(PoisonError::into_inner) = self.inner.take();
    }
}

impl<B: HttpBody<Data = Bytes> + Unpin> HttpBody for LentBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        self.inner.as_mut().map_or(Poll::Ready(None), |inner| Pin::new(inner).poll_frame(cx))
    }
    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(HttpBody::is_end_stream)
    }
    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map(HttpBody::size_hint).unwrap_or_default()
    }
}

impl<B: HttpBody<Data = Bytes> + Unpin> Unwanted<B> {
    /// Reads on and forgets, within bounds. An answer that overtakes the request's body ends its stream with a reset, which
    /// some clients take for a failure of the whole exchange (curl 7.88: error 92), or with the connection in HTTP/1.1.
    pub(crate) async fn discard(self) {
        let body = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut body) = body.filter(|body| !body.is_end_stream()) else { return };
        let read = async {
            let mut left = MAX_UNWANTED;
            while body.size_hint().lower() <= u64::try_from(left).unwrap_or(u64::MAX)
                && let Some(Ok(frame)) = body.frame().await
            {
                left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
            }
        };
        drop(tokio::time::timeout(UNWANTED_TIMEOUT, read).await);
    }
}

/// An answer's body that holds something until it was sent or dropped.
pub(crate) struct HeldBody<T> {
    inner: Body,
    _held: T,
}

impl<T> HeldBody<T> {
    pub(crate) fn new(inner: Body, held: T) -> Self {
        Self { inner, _held: held }
    }
}

impl<T: Unpin> HttpBody for HeldBody<T> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.inner).poll_frame(cx)
    }
    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }
    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{Full, StreamBody};

    fn capped<B>(inner: B, limit: usize) -> Body
    where
        B: HttpBody<Data = Bytes> + Unpin + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        Body::new(CappedBody::new(inner, limit, Duration::from_secs(3), Arc::new(Pace::default())))
    }

    #[tokio::test]
    async fn the_tighter_limit_holds() {
        let body = || Full::new(Bytes::from_static(b"twelve bytes"));
        assert_eq!(read_body(capped(body(), 12), 12).await.unwrap(), "twelve bytes");
        assert!(matches!(read_body(capped(body(), 11), 99).await, Err(BodyError::TooLarge { limit: 11 })));
        assert!(matches!(read_body(capped(body(), 99), 11).await, Err(BodyError::TooLarge { limit: 11 })));
    }

    #[tokio::test]
    async fn an_unannounced_body_is_cut_too() {
        let chunks = (0..5).map(|_| Ok::<_, std::io::Error>(Frame::data(Bytes::from_static(b"abc"))));
        let body = StreamBody::new(futures_util::stream::iter(chunks));
        assert!(matches!(read_body(Body::new(body), 14).await, Err(BodyError::TooLarge { limit: 14 })));
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_client_times_out_and_the_wait_is_known() {
        let pace = Arc::new(Pace::default());
        let silent = StreamBody::new(futures_util::stream::pending::<Result<Frame<Bytes>, std::io::Error>>());
        let body = CappedBody::new(silent, 10, Duration::from_secs(3), pace.clone());
        assert!(matches!(read_body(Body::new(body), 10).await, Err(BodyError::Timeout)));
        assert!(pace.waited() >= Duration::from_secs(3));
    }

    #[tokio::test]
    async fn what_is_announced_too_long_is_not_waited_for() {
        struct Announced;
        impl HttpBody for Announced {
            type Data = Bytes;
            type Error = std::io::Error;
            fn poll_frame(
                self: Pin<&mut Self>,
                _: &mut Context<'_>,
            ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
                Poll::Pending
            }
            fn size_hint(&self) -> SizeHint {
                SizeHint::with_exact(5000)
            }
        }
        let body = capped(Announced, 4096);
        assert!(matches!(read_body(body, 100_000).await, Err(BodyError::TooLarge { limit: 4096 })));
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_wants_is_read_within_bounds() {
        let (chunks, read) = tokio::sync::mpsc::channel::<Result<Frame<Bytes>, std::io::Error>>(100);
        let stream = futures_util::stream::unfold(read, async |mut read| Some((read.recv().await?, read)));
        let (lent, unwanted) = LentBody::lend(StreamBody::new(Box::pin(stream)));
        drop(lent);
        for _ in 0..100 {
            chunks.try_send(Ok(Frame::data(Bytes::from_static(&[0; 1_024])))).unwrap();
        }
        unwanted.discard().await;
        assert!(chunks.is_closed(), "given up, and the rest was not waited for");

        let silent = StreamBody::new(futures_util::stream::pending::<Result<Frame<Bytes>, std::io::Error>>());
        let (lent, unwanted) = LentBody::lend(silent);
        drop(lent);
        let began = Instant::now();
        unwanted.discard().await;
        assert_eq!(began.elapsed(), UNWANTED_TIMEOUT);

        let (lent, unwanted) = LentBody::lend(Full::new(Bytes::from_static(b"read")));
        assert_eq!(read_body(Body::new(lent), 10).await.unwrap(), "read");
        unwanted.discard().await;
    }

    #[tokio::test]
    async fn a_broken_body_says_so() {
        let chunks = [Ok(Frame::data(Bytes::from_static(b"abc"))), Err(std::io::Error::other("reset"))];
        let body = StreamBody::new(futures_util::stream::iter(chunks));
        assert!(matches!(read_body(capped(body, 10), 10).await, Err(BodyError::Broken(_))));
    }
}
