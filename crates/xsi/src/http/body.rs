//! Bodies of answers.

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use openadp_xsi_api::AfterReply;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

/// One document, or nothing; what waits for the answer to be written is told when the body is over.
pub(super) struct AnswerBody {
    bytes: Option<Bytes>,
    _after: AfterReply,
}

impl AnswerBody {
    pub(super) fn new(bytes: Option<Bytes>, after: AfterReply) -> Self {
        Self { bytes: bytes.filter(|bytes| !bytes.is_empty()), _after: after }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.bytes.take().map(|bytes| Ok(Frame::data(bytes))))
    }
    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }
    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(
            self.bytes.as_ref().map_or(0, |bytes| u64::try_from(bytes.len()).unwrap_or(u64::MAX)),
        )
    }
}
