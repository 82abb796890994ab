//! How the HTTP client gets its connections: directly or through a proxy, plaintext or TLS.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tower::Service;

use crate::config::Place;
use crate::dial::dial_any;
use crate::listen::Stream;
use crate::proxy::{Proxies, ProxyUrl};
use crate::tls::ClientTls;

/// The longest head of a proxy's answer.
const MAX_PROXY_ANSWER: usize = 8 << 10;

/// Connects to the server of a URL.
#[derive(Clone)]
pub(crate) struct Connector {
    tls: Option<Arc<ClientTls>>,
    proxies: Arc<Proxies>,
}

/// A connection to a server or a proxy.
pub(crate) struct Conn {
    io: TokioIo<Box<dyn Stream>>,
    http2: bool,
    /// Whether the other end is a proxy that reads the requests itself.
    pub(crate) proxied: bool,
}

impl Connector {
    /// Without `tls`, only `http` URLs can be reached.
    pub(crate) fn new(tls: Option<Arc<ClientTls>>, proxies: Proxies) -> Self {
        Self { tls, proxies: Arc::new(proxies) }
    }

    pub(crate) async fn connect(self, uri: Uri) -> io::Result<Conn> {
        let https = uri.scheme_str() == Some("https");
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let port = uri.port_u16().unwrap_or(if https { 443 } else { 80 });
        let place = Place::Host(host.clone(), port);
        let proxy = self.proxies.of(&uri);
        let stream = match proxy {
            Some(proxy) => {
                let stream = dial_any(&Place::Host(proxy.host.clone(), proxy.port))
                    .await
                    .map_err(|error| io::Error::new(error.kind(), format!("proxyconnect tcp: {error}")))?;
                if https { tunnel(stream, proxy, &place).await? } else { stream }
            }
            None => dial_any(&place).await?,
        };
        if !https {
            return Ok(Conn { io: TokioIo::new(stream), http2: false, proxied: proxy.is_some() });
        }
        let tls = self.tls.as_deref().ok_or_else(|| io::Error::other("TLS is not set up"))?;
        let stream = tls.connect(&host, stream).await?;
        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok(Conn { io: TokioIo::new(Box::new(stream)), http2, proxied: false })
    }
}

/// Asks a proxy to pass everything on to `place`.
async fn tunnel(mut stream: Box<dyn Stream>, proxy: &ProxyUrl, place: &Place) -> io::Result<Box<dyn Stream>> {
    let mut request = format!("CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n");
    if let Some(secret) = &proxy.authorization {
        request.push_str(&format!("Proxy-Authorization: {}\r\n", secret.expose()));
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        // Byte by byte: what follows the head belongs to the tunnel.
        head.push(stream.read_u8().await?);
        if head.len() > MAX_PROXY_ANSWER {
            return Err(io::Error::other("proxy answers CONNECT with too large a head"));
        }
    }
    let head = String::from_utf8_lossy(&head);
    let status = head.split(' ').nth(1).unwrap_or_default();
    if status.starts_with('2') {
        Ok(stream)
    } else {
        let line = head.lines().next().unwrap_or_default();
        Err(io::Error::other(format!("proxy refuses the connection: {line}")))
    }
}

impl Service<Uri> for Connector {
    type Response = Conn;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Conn>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().connect(uri))
    }
}

impl Connection for Conn {
    fn connected(&self) -> Connected {
        let connected = Connected::new().proxy(self.proxied);
        if self.http2 { connected.negotiated_h2() } else { connected }
    }
}

impl Read for Conn {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl Write for Conn {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }
}
