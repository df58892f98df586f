//! TLS for the whole suite: which suites, protocols, certificates and trust anchors hold, and the rustls configurations
//! made of them.
//!
//! The settings have four levels of lists, most general first; [`resolve`] says which of them supplies an interface's list.
//! [`Tls`] turns that into configurations and keeps them up to date while connections run. Nobody else names a suite, reads
//! a certificate or builds a rustls configuration.
//!
//! This crate must not open sockets and must not know which interfaces exist: those are the listener's. Reading order:
//! [`suites`], [`resolve`], [`check_interface`], [`Tls`], [`PeerIdentity`], [`authority`].

pub mod authority;
mod certificates;
mod check;
mod client;
mod client_verifier;
mod levels;
mod material;
mod peer;
pub mod pem;
mod revocation;
mod server;
pub mod suites;
mod trusts;

pub use authority::LabAuthority;
pub use certificates::{
    CertificateRequest, CtiServerCertificate, Expiry, ExpiryChange, ExpiryWatch, HttpAliasCertificate,
    HttpServerCertificate, THRESHOLDS, certificate_edit, expiries, warnings as expiry_warnings,
};
pub use check::check_interface;
pub use client::{Alpn, ClientUse};
pub use client_verifier::BROADWORKS_EKU;
pub use levels::{
    CtiCommonCipher, CtiCommonProtocol, CtiServerCipher, CtiServerProtocol, Effective, EffectiveTls,
    HttpCommonCipher, HttpCommonProtocol, HttpServerCipher, HttpServerProtocol, InterfaceKind, InterfaceRef,
    JsseCipher, JsseProtocol, Layer, Level, List, OpenSslCipher, OpenSslProtocol, nearest, own, resolve,
    resolve_at,
};
pub use material::text_of;
pub use peer::{PeerIdentity, UnreadableCertificate};
pub use revocation::{
    CtiRevocationList, CtiRevocationSettings, HttpRevocationList, HttpRevocationSettings, NextUpdate,
};
pub use server::{ClientAuth, Tls, TlsError};
pub use trusts::{CtiClientTrust, DefaultTrust, GeneralSettings, HttpClientTrust, ServerTrust};

use openadp_settings::{Module, Settings};

/// Everything this crate declares.
pub const MODULE: Module = Module::new("tls")
    .contexts(&[
        JsseCipher::CONTEXT,
        JsseProtocol::CONTEXT,
        OpenSslCipher::CONTEXT,
        OpenSslProtocol::CONTEXT,
        HttpCommonCipher::CONTEXT,
        HttpCommonProtocol::CONTEXT,
        CtiCommonCipher::CONTEXT,
        CtiCommonProtocol::CONTEXT,
        HttpServerCipher::CONTEXT,
        HttpServerProtocol::CONTEXT,
        CtiServerCipher::CONTEXT,
        CtiServerProtocol::CONTEXT,
        HttpServerCertificate::CONTEXT,
        HttpAliasCertificate::CONTEXT,
        CtiServerCertificate::CONTEXT,
        CertificateRequest::CONTEXT,
        HttpClientTrust::CONTEXT,
        CtiClientTrust::CONTEXT,
        HttpRevocationList::CONTEXT,
        HttpRevocationSettings::CONTEXT,
        CtiRevocationList::CONTEXT,
        CtiRevocationSettings::CONTEXT,
        ServerTrust::CONTEXT,
        DefaultTrust::CONTEXT,
        GeneralSettings::CONTEXT,
    ])
    .checks(&[check::check_common, certificates::check_aliases, revocation::check]);

#[cfg(test)]
mod tests;
