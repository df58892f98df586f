//! Local stand-ins of APNs and FCM that check what the real ones check.
