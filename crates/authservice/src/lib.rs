//! AuthenticationService: long-lived tokens and their validation.
