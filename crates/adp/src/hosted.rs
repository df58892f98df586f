//! Everything that `adp` can host, by the names that operators use.

use openadp_daemon::{ApplicationSpec, NodeOptions, ServerSpec};
use openadp_settings::Module;

/// An application by its name in `adp run`.
#[derive(Clone, Copy)]
enum Hosted {
    Http(ApplicationSpec),
    Server(ServerSpec),
}

/// CTI is no HTTP application, so it is described here and in its own binary: only assemblies know `daemon`.
const CTI: ServerSpec = ServerSpec {
    name: "CTI",
    modules: openadp_cti::MODULES,
    needs_application_server: true,
    build: openadp_cti::build,
};

const ALL: [(&str, Hosted); 5] = [
    ("authservice", Hosted::Http(openadp_authservice::APPLICATION)),
    ("xsi", Hosted::Http(openadp_xsi::APPLICATION)),
    ("cti", Hosted::Server(CTI)),
    ("dms", Hosted::Http(openadp_dms::APPLICATION)),
    ("nps", Hosted::Http(openadp_nps::APPLICATION)),
];

/// Names of all applications.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    ALL.iter().map(|(name, _)| *name)
}

/// Adds an application to a node; `false` where there is none of that name.
pub(crate) fn add(options: &mut NodeOptions, name: &str) -> bool {
    match ALL.iter().find(|(known, _)| *known == name) {
        Some((_, Hosted::Http(application))) => options.applications.push(*application),
        Some((_, Hosted::Server(server))) => options.servers.push(*server),
        None => return false,
    }
    true
}

/// The settings of everything, hosted or not: one host may be asked about the others' contexts.
pub(crate) fn modules() -> Vec<Module> {
    let mut modules = vec![
        openadp_daemon::MODULE,
        openadp_keystore::MODULE,
        openadp_token::MODULE,
        openadp_appserver_embedded::MODULE,
        openadp_listener::MODULE,
        openadp_tls::MODULE,
        openadp_webcontainer::MODULE,
    ];
    for (_, hosted) in ALL {
        modules.extend_from_slice(match hosted {
            Hosted::Http(application) => application.modules,
            Hosted::Server(server) => server.modules,
        });
    }
    modules
}
