//! Channels: an answer that goes on until the channel ends (xsi.md 5.2 and 5.3).

use super::{Edge, Head, add_cookie, answer};
use crate::wire::form::{Form, STREAM};
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use http_body::Frame;
use openadp_xsi_api::{ChannelTransport, OpenChannel, Request};
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Opens a channel. Its first document follows the client's wish for JSON; events are XML always.
pub(super) async fn open(edge: &Edge, head: &Head, request: Request) -> Response {
    let opened =
        edge.api.open_channel(&request.principal, request.document.as_ref(), ChannelTransport::Stream).await;
    let channel = match opened {
        Ok(channel) => channel,
        Err(refused) => return answer(head, *refused),
    };
    let (first, json) = head.form.write(channel.document());
    let content_type = match head.form {
        Form::Json => json,
        Form::Xml => STREAM,
    };
    tracing::debug!(channel = channel.id(), "channel opened");
    let mut response = Response::new(Body::new(ChannelBody { first: Some(first), channel }));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    add_cookie(head, response.headers_mut());
    response
}

/// The documents of a channel, one frame each, which HTTP/1.1 writes as one chunk each. Dropped with the connection.
struct ChannelBody {
    first: Option<Bytes>,
    channel: OpenChannel,
}

impl http_body::Body for ChannelBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        self.channel.poll_next(context).map(|next| next.map(|delivery| Ok(Frame::data(delivery.bytes))))
    }
}
