//! Passwords that must be readable again, because files hold them: encrypted with the machine key.

use openadp_appserver::{PortError, PortResult};
use openadp_settings::MachineKey;
use zeroize::Zeroizing;

/// Purpose of a device's password for its files.
pub(crate) const DEVICE_PASSWORD: &str = "appserver/device-password";
/// Purpose of a device's SIP password.
pub(crate) const SIP_PASSWORD: &str = "appserver/sip-password";

/// What a sealed value belongs to: it opens for this purpose and device only.
fn context(purpose: &str, user_name: &str) -> Vec<u8> {
    format!("{purpose}\0{user_name}").into_bytes()
}

pub(crate) fn seal(key: &MachineKey, purpose: &str, user_name: &str, secret: &str) -> PortResult<Vec<u8>> {
    key.seal(&context(purpose, user_name), secret.as_bytes())
        .map_err(|error| PortError::Internal(Box::new(error)))
}

pub(crate) fn open(
    key: &MachineKey,
    purpose: &str,
    user_name: &str,
    sealed: &[u8],
) -> PortResult<Zeroizing<String>> {
    let plain = key
        .open(&context(purpose, user_name), sealed)
        .map_err(|error| PortError::Internal(Box::new(error)))?;
    String::from_utf8(plain.to_vec())
        .map(Zeroizing::new)
        .map_err(|error| PortError::Internal(Box::new(error.utf8_error())))
}
