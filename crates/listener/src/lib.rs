//! Sockets: accept, secure, limit, drain; shared by HTTP and CTI.
