//! XSI without a transport: one dispatch, and channels, subscriptions and event delivery as state machines.
