//! Who may call with a client certificate, and who may speak for users. authservice.md 4 and 6. Pure.

use crate::settings::{BROADWORKS_USAGE, CLIENT_AUTH, CertificateCaller};
use openadp_tls::PeerIdentity;

/// What a caller's certificate lets it do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It shows none, or nobody is listed: what it brings beside decides.
    Plain,
    /// It is listed.
    Listed {
        /// Whether it may name a user without any proof.
        asserts: bool,
    },
    /// It shows one that is not good enough; the label says why, for the log.
    Refused(&'static str),
}

/// The standing of a caller whose certificate the handshake has verified.
pub(crate) fn standing(certificate: Option<&PeerIdentity>, callers: &[CertificateCaller]) -> Standing {
    let Some(certificate) = certificate else { return Standing::Plain };
    if callers.is_empty() {
        return Standing::Plain;
    }
    let Some(name) = &certificate.common_name else { return Standing::Refused("certificateWithoutName") };
    // Names compare exactly: a look-alike is somebody else.
    let Some(caller) = callers.iter().find(|caller| caller.common_name == *name) else {
        return Standing::Refused("certificateNotListed");
    };
    if caller.issuer.as_ref().is_some_and(|issuer| *issuer != certificate.issuer) {
        return Standing::Refused("certificateIssuer");
    }
    if !certificate.has_usage(CLIENT_AUTH) {
        return Standing::Refused("certificateNotForClients");
    }
    if caller.broadworks_usage && !certificate.has_usage(BROADWORKS_USAGE) {
        return Standing::Refused("certificateWithoutBroadWorksUsage");
    }
    Standing::Listed { asserts: caller.asserts }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(name: Option<&str>, usages: &[&str]) -> PeerIdentity {
        PeerIdentity {
            common_name: name.map(str::to_owned),
            fingerprint: "00".repeat(32),
            extended_key_usages: usages.iter().map(|usage| (*usage).to_owned()).collect(),
            issuer: "Internal CA".to_owned(),
            not_after: time::OffsetDateTime::UNIX_EPOCH,
        }
    }

    fn caller(name: &str, change: impl FnOnce(&mut CertificateCaller)) -> CertificateCaller {
        let mut caller = CertificateCaller {
            common_name: name.to_owned(),
            issuer: None,
            broadworks_usage: true,
            asserts: false,
        };
        change(&mut caller);
        caller
    }

    #[test]
    fn only_listed_certificates_with_the_right_use_call() {
        const BOTH: &[&str] = &[CLIENT_AUTH, BROADWORKS_USAGE];
        let list = [
            caller("proxy.example", |caller| caller.issuer = Some("Internal CA".into())),
            caller("webex.example", |caller| caller.broadworks_usage = false),
            caller("portal.example", |caller| caller.asserts = true),
            caller("other.example", |caller| caller.issuer = Some("Other CA".into())),
        ];
        let of = |name, usages| standing(Some(&certificate(name, usages)), &list);
        assert_eq!(standing(None, &list), Standing::Plain);
        assert_eq!(standing(Some(&certificate(None, &[])), &[]), Standing::Plain);
        assert_eq!(of(Some("proxy.example"), BOTH), Standing::Listed { asserts: false });
        assert_eq!(of(Some("webex.example"), &[CLIENT_AUTH]), Standing::Listed { asserts: false });
        assert_eq!(of(Some("portal.example"), BOTH), Standing::Listed { asserts: true });
        for (name, usages, why) in [
            (None, BOTH, "certificateWithoutName"),
            (Some("Proxy.example"), BOTH, "certificateNotListed"),
            (Some("nobody.example"), BOTH, "certificateNotListed"),
            (Some("other.example"), BOTH, "certificateIssuer"),
            (Some("proxy.example"), &[BROADWORKS_USAGE], "certificateNotForClients"),
            (Some("proxy.example"), &[CLIENT_AUTH], "certificateWithoutBroadWorksUsage"),
            (Some("webex.example"), &[] as &[&str], "certificateNotForClients"),
        ] {
            assert_eq!(of(name, usages), Standing::Refused(why), "{name:?} {usages:?}");
        }
    }
}
