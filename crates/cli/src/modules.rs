//! All declarations of the suite in one place.

use openadp_settings::Module;

/// Everything that any process of the suite declares: the trees that `adpcli` walks and the reference page lists.
pub fn modules() -> Vec<Module> {
    vec![
        openadp_tls::MODULE,
        openadp_listener::MODULE,
        openadp_webcontainer::MODULE,
        openadp_keystore::MODULE,
        openadp_token::MODULE,
        openadp_authservice::MODULE,
        openadp_identity::MODULE,
        openadp_xsi_api::MODULE,
        openadp_xsi::MODULE,
        openadp_cti::MODULE,
        openadp_dms::MODULE,
        openadp_nps::MODULE,
        openadp_outgoing::MODULE,
        openadp_appserver_embedded::MODULE,
        openadp_daemon::MODULE,
    ]
}
