//! Who may ask for pushes: a shared secret or a listed client certificate. No anonymous access.

use crate::configuration::Configuration;
use crate::error::Refusal;
use crate::events;
use axum::extract::Request;
use http::HeaderName;
use openadp_webcontainer::ConnectionInfo;
use std::sync::Arc;

const SECRET: HeaderName = HeaderName::from_static("x-nps-secret");

/// Checks the peer of a request.
///
/// # Errors
/// 401 without proof, 403 with a wrong one.
pub(super) fn check(configuration: &Configuration, request: &Request) -> Result<(), Refusal> {
    let info = request.extensions().get::<Arc<ConnectionInfo>>();
    let certificate = info.and_then(|info| info.tls.as_ref()?.client.as_ref());
    if let Some(name) = certificate.and_then(|client| client.common_name.as_deref())
        && configuration.clients.iter().any(|listed| listed.eq_ignore_ascii_case(name))
    {
        return Ok(());
    }
    match request.headers().get(SECRET) {
        Some(given) if same(given.as_bytes(), configuration.shared_secret.expose().as_bytes()) => Ok(()),
        Some(_) => {
            events::peer_refused("secret");
            Err(Refusal::Forbidden)
        }
        None if certificate.is_some() => {
            events::peer_refused("certificate");
            Err(Refusal::Forbidden)
        }
        None => {
            events::peer_refused("none");
            Err(Refusal::Unauthenticated)
        }
    }
}

/// Compares in constant time; no secret set equals nothing. Digests, so that the length does not show either.
fn same(given: &[u8], secret: &[u8]) -> bool {
    let digest = |bytes| aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    let equal =
        aws_lc_rs::constant_time::verify_slices_are_equal(digest(given).as_ref(), digest(secret).as_ref())
            .is_ok();
    equal && !secret.is_empty()
}
