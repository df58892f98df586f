//! Bytes on a plain TCP connection, right or wrong: what no well-behaved client would send.

use crate::{PATIENCE, Response};
use anyhow::{Context as _, Result, bail};
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpStream};

/// Longest answer that is read.
const MAX_ANSWER: usize = 16 * 1024 * 1024;

/// A TCP connection to a port of this machine. Reads end after [`PATIENCE`].
pub struct Raw {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Raw {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens.
    pub fn connect(port: u16) -> Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))
            .with_context(|| format!("connecting to {port}"))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::new() })
    }

    /// Writes bytes as they are.
    ///
    /// # Errors
    /// When the other side has gone, or takes nothing for [`PATIENCE`].
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> Result<()> {
        self.stream.write_all(bytes.as_ref()).context("writing to the connection")
    }

    /// Ends this side of the connection; what the other one still says can be read.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn end_writing(&self) -> Result<()> {
        self.stream.shutdown(Shutdown::Write).context("ending the connection")
    }

    /// Reads one HTTP/1.1 answer with a `Content-Length`, a chunked body, or one that ends with the connection.
    ///
    /// # Errors
    /// When the connection ends before the answer does, when there is no HTTP answer, or at the end of patience.
    pub fn response(&mut self) -> Result<Response> {
        let head_end = self.read_to("\r\n\r\n")?;
        let head = String::from_utf8_lossy(&self.take(head_end)).into_owned();
        let mut lines = head.lines();
        let status = lines
            .next()
            .and_then(|line| line.strip_prefix("HTTP/1."))
            .and_then(|line| line.split(' ').nth(1)?.parse().ok())
            .with_context(|| format!("no status line: {head:?}"))?;
        let mut response =
            Response { status, headers: lines.collect::<Vec<_>>().join("\n"), body: String::new() };
        let mut body = Vec::new();
        if response.header("Transfer-Encoding").is_some_and(|coding| coding.contains("chunked")) {
            loop {
                let line_end = self.read_to("\r\n")?;
                let line = String::from_utf8_lossy(&self.take(line_end)).into_owned();
                let size =
                    usize::from_str_radix(line.trim(), 16).with_context(|| format!("chunk size {line:?}"))?;
                self.read_count(size + 2)?;
                body.extend_from_slice(self.take(size + 2).get(..size).unwrap_or_default());
                if size == 0 {
                    break;
                }
            }
        } else if let Some(length) = response.header("Content-Length") {
            let length: usize = length.parse()?;
            self.read_count(length)?;
            body = self.take(length);
        } else if !matches!(status, 204 | 304) {
            body = self.until_end()?;
        }
        response.body = String::from_utf8_lossy(&body).into_owned();
        Ok(response)
    }

    /// Reads until the other side closes, whichever way; gives what came.
    ///
    /// # Errors
    /// When it stays open for [`PATIENCE`] without a byte, or floods.
    pub fn until_end(&mut self) -> Result<Vec<u8>> {
        while self.fill()? {}
        Ok(std::mem::take(&mut self.buffer))
    }

    /// Reads until this text was seen; gives everything up to its end.
    ///
    /// # Errors
    /// When the connection ends without it.
    pub fn until(&mut self, text: &str) -> Result<String> {
        let end = self.read_to(text)?;
        Ok(String::from_utf8_lossy(&self.take(end)).into_owned())
    }

    /// Reads some more; `false` at the end of the connection.
    fn fill(&mut self) -> Result<bool> {
        if self.buffer.len() > MAX_ANSWER {
            bail!("a flood");
        }
        let mut chunk = [0_u8; 16 * 1024];
        match self.stream.read(&mut chunk) {
            Ok(0) => Ok(false),
            Ok(count) => {
                self.buffer.extend_from_slice(chunk.get(..count).unwrap_or_default());
                Ok(true)
            }
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => {
                Ok(false)
            }
            Err(error) => Err(error).with_context(|| {
                format!("the connection stays open after {:?}", String::from_utf8_lossy(&self.buffer))
            }),
        }
    }

    fn read_to(&mut self, text: &str) -> Result<usize> {
        loop {
            if let Some(at) = self.buffer.windows(text.len()).position(|window| window == text.as_bytes()) {
                return Ok(at + text.len());
            }
            if !self.fill()? {
                bail!("the connection ended after {:?}", String::from_utf8_lossy(&self.buffer));
            }
        }
    }

    fn read_count(&mut self, count: usize) -> Result<()> {
        while self.buffer.len() < count {
            if !self.fill()? {
                bail!("the connection ended after {:?}", String::from_utf8_lossy(&self.buffer));
            }
        }
        Ok(())
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        self.buffer.drain(..count.min(self.buffer.len())).collect()
    }
}
