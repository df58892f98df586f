//! The outbound queue: bounded, so that a client that does not read costs its connection and nothing else.

use bytes::Bytes;
use openadp_xsi_api::AfterReply;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

/// One message, and what waits for it to be written.
struct Item {
    bytes: Bytes,
    after: AfterReply,
}

/// The queue is full: the client is too slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SlowReader;

/// The end that messages are put in.
pub(crate) struct Outbound {
    sender: mpsc::Sender<Item>,
    queued: Arc<AtomicUsize>,
    max_bytes: usize,
}

/// The end that they are written from.
pub(crate) struct Queue {
    receiver: mpsc::Receiver<Item>,
    queued: Arc<AtomicUsize>,
}

/// A queue of at most this many messages and bytes. A message is taken whole when the bytes before it are below the
/// bound.
pub(crate) fn queue(max_messages: usize, max_bytes: usize) -> (Outbound, Queue) {
    let (sender, receiver) = mpsc::channel(max_messages.max(1));
    let queued = Arc::new(AtomicUsize::new(0));
    (Outbound { sender, queued: queued.clone(), max_bytes }, Queue { receiver, queued })
}

impl Outbound {
    /// Puts a message in, never waiting.
    pub(crate) fn push(&self, bytes: Bytes, after: AfterReply) -> Result<(), SlowReader> {
        if self.queued.load(Ordering::Relaxed) >= self.max_bytes {
            return Err(SlowReader);
        }
        let length = bytes.len();
        self.queued.fetch_add(length, Ordering::Relaxed);
        self.sender.try_send(Item { bytes, after }).map_err(|_| {
            self.queued.fetch_sub(length, Ordering::Relaxed);
            SlowReader
        })
    }
}

impl Queue {
    /// Writes what comes until the other end is dropped and the queue empty, then ends the stream. Flushes whenever
    /// there is nothing more to write.
    pub(crate) async fn write_to<W: AsyncWrite + Unpin>(mut self, mut writer: W) -> io::Result<()> {
        loop {
            if let Ok(item) = self.receiver.try_recv() {
                self.write(item, &mut writer).await?;
                continue;
            }
            writer.flush().await?;
            let Some(item) = self.receiver.recv().await else { return writer.shutdown().await };
            self.write(item, &mut writer).await?;
        }
    }

    async fn write<W: AsyncWrite + Unpin>(&self, item: Item, writer: &mut W) -> io::Result<()> {
        writer.write_all(&item.bytes).await?;
        self.queued.fetch_sub(item.bytes.len(), Ordering::Relaxed);
        drop(item.after);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt as _;

    #[tokio::test]
    async fn what_is_queued_is_written_in_order_and_the_stream_ends() {
        let (outbound, queue) = queue(10, 100);
        for text in ["a", "b", "c"] {
            outbound.push(Bytes::from(text), AfterReply::default()).expect("room");
        }
        drop(outbound);
        let (ours, mut theirs) = tokio::io::duplex(64);
        let mut read = String::new();
        let (written, _) = tokio::join!(queue.write_to(ours), theirs.read_to_string(&mut read));
        written.expect("written");
        assert_eq!(read, "abc");
    }

    #[tokio::test]
    async fn both_bounds_hold() {
        let (outbound, kept) = queue(2, 10);
        let big = Bytes::from(vec![0; 20]);
        assert_eq!(outbound.push(big, AfterReply::default()), Ok(()), "one message always fits");
        assert_eq!(outbound.push(Bytes::from("x"), AfterReply::default()), Err(SlowReader), "bytes");
        drop(kept);
        let (outbound, kept) = queue(2, 10);
        assert_eq!(outbound.push(Bytes::new(), AfterReply::default()), Ok(()));
        assert_eq!(outbound.push(Bytes::new(), AfterReply::default()), Ok(()));
        assert_eq!(outbound.push(Bytes::new(), AfterReply::default()), Err(SlowReader), "messages");
        drop(kept);
    }
}
