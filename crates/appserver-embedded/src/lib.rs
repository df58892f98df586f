//! The embedded application server: store, call engine, ordered event feed.
