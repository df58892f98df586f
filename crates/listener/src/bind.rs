//! Binding an address.

use crate::Limits;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use std::io;
use std::net::SocketAddr;
use tokio::net::TcpListener;

/// Connections that the system accepts ahead of us: a restart of all clients at once comes in one burst.
const BACKLOG: i32 = 1024;

/// Binds an address and listens there.
pub(crate) fn bind(address: SocketAddr, limits: &Limits) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for connections of the process before it that are in TIME_WAIT.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // An IPv4 interface on the same port is a setting of its own.
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    prepare(&SockRef::from(&socket), limits)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Sets a socket's options: small events go at once, and dead peers are noticed. Accepted sockets have those of the listening
/// one, which saves five calls of the system for every connection.
pub(crate) fn prepare(socket: &SockRef<'_>, limits: &Limits) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    let keepalive =
        TcpKeepalive::new().with_time(limits.keepalive).with_interval(limits.keepalive / 4).with_retries(4);
    socket.set_tcp_keepalive(&keepalive)
}

/// The reason in an operator's words.
pub(crate) fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "the port is in use by another process".to_owned(),
        io::ErrorKind::AddrNotAvailable => "this machine does not have the address".to_owned(),
        io::ErrorKind::PermissionDenied => "no permission to use this port".to_owned(),
        _ => error.to_string(),
    }
}
