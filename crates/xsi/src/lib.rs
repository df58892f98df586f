//! Xsi-Actions and Xsi-Events: xsi-api over HTTP.
