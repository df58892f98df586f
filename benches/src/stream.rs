//! A raw HTTP/1.1 client: cheap enough to hold a thousand event channels, exact about when a byte came.

use anyhow::{Context as _, Result, bail, ensure};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Where and as whom.
#[derive(Clone)]
pub struct Client {
    address: String,
    tls: Option<TlsConnector>,
    authorization: String,
}

impl Client {
    /// A client of `https://HOST:PORT` or `http://HOST:PORT`; the rest of the URL is ignored.
    ///
    /// # Errors
    /// When the authority cannot be read.
    pub fn new(url: &str, ca: &Path, authorization: String) -> Result<Self> {
        let address = url.split('/').nth(2).context("no address in the URL")?.to_owned();
        let tls = if url.starts_with("https:") {
            let mut roots = rustls::RootCertStore::empty();
            roots.add(CertificateDer::from_pem_file(ca).map_err(|error| anyhow::anyhow!("{error}"))?)?;
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let config = rustls::ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()?
                .with_root_certificates(roots)
                .with_no_client_auth();
            Some(TlsConnector::from(Arc::new(config)))
        } else {
            None
        };
        Ok(Self { address, tls, authorization })
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// When there is none to be had.
    pub async fn connect(&self) -> Result<Stream> {
        let socket = TcpStream::connect(&self.address).await.context("connecting")?;
        socket.set_nodelay(true)?;
        let io: Box<dyn Io> = match &self.tls {
            Some(tls) => {
                let host = self.address.rsplit_once(':').map_or(self.address.as_str(), |(host, _)| host);
                Box::new(
                    tls.connect(ServerName::try_from(host.to_owned())?, socket).await.context("handshake")?,
                )
            }
            None => Box::new(socket),
        };
        Ok(Stream { io, client: self.clone(), buffer: Vec::new() })
    }

    /// A connection with an open event channel of this set on it.
    ///
    /// # Errors
    /// When the channel is refused.
    pub async fn channel(&self, set: &str) -> Result<Stream> {
        let mut stream = self.connect().await?;
        let body = format!(
            "<Channel xmlns=\"http://schema.broadsoft.com/xsi\"><channelSetId>{set}</channelSetId></Channel>"
        );
        stream.send("POST", "/com.broadsoft.async/com.broadsoft.xsi-events/v2.0/channel", &body).await?;
        stream.wait_for("</Channel>").await?;
        Ok(stream)
    }
}

/// One connection.
pub struct Stream {
    io: Box<dyn Io>,
    client: Client,
    buffer: Vec<u8>,
}

impl Stream {
    /// Writes a request.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn send(&mut self, method: &str, path: &str, body: &str) -> Result<()> {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\n{}\r\nContent-Type: application/xml\r\nContent-Length: {}\r\n\r\n{body}",
            self.client.address,
            self.client.authorization,
            body.len()
        );
        self.io.write_all(request.as_bytes()).await?;
        self.io.flush().await.context("writing a request")
    }

    /// Makes a request on this connection and gives the body of its answer, which must be a success with a known length.
    ///
    /// # Errors
    /// Another status, or a connection that ends.
    pub async fn request(&mut self, method: &str, path: &str, body: &str) -> Result<String> {
        self.buffer.clear();
        self.send(method, path, body).await?;
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                let head = String::from_utf8_lossy(self.buffer.get(..end).unwrap_or_default()).to_lowercase();
                ensure!(head.starts_with("http/1.1 20"), "{method} {path}: {head}");
                let length: usize = head
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok())
                    .unwrap_or(0);
                if let Some(body) = self.buffer.get(end + 4..end + 4 + length) {
                    return Ok(String::from_utf8_lossy(body).into_owned());
                }
            }
            self.fill().await?;
        }
    }

    /// Reads until the text came; gives everything read since the last call and the time of the last byte.
    ///
    /// # Errors
    /// When the connection ends first.
    pub async fn wait_for(&mut self, text: &str) -> Result<(String, Instant)> {
        loop {
            if let Some(at) = find(&self.buffer, text.as_bytes()) {
                let when = Instant::now();
                let read: Vec<u8> = self.buffer.drain(..at + text.len()).collect();
                return Ok((String::from_utf8_lossy(&read).into_owned(), when));
            }
            self.fill().await?;
        }
    }

    async fn fill(&mut self) -> Result<()> {
        let mut chunk = vec![0_u8; 16 * 1024];
        let count = self.io.read(&mut chunk).await.context("reading")?;
        if count == 0 {
            bail!("the connection ended after: {}", String::from_utf8_lossy(&self.buffer));
        }
        self.buffer.extend_from_slice(chunk.get(..count).unwrap_or_default());
        Ok(())
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}
