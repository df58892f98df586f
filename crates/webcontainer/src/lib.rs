//! HTTP interfaces: mount applications, authenticate, limit, log.
