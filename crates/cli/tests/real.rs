//! The real declarations: they fit together, and every context can be walked, read and explained.
#![expect(clippy::unwrap_used, reason = "a failing helper fails the test")]

mod common;

use common::{Script, session, type_lines};
use openadp_cli::{Flow, Options, modules};
use openadp_settings::{Registry, Shape, Store};

fn registry() -> Registry {
    Registry::new(modules()).unwrap()
}

#[test]
fn every_context_is_walked_read_and_explained() {
    let dir = tempfile::tempdir().unwrap();
    let registry = registry();
    let mut session = session(dir.path(), &registry, Options::default());
    let mut script = Script::default();
    for context in registry.contexts() {
        let path = context.full_path();
        // A place in the other tree is a level of its own; any other name leads to the context's own path.
        let elsewhere = |alias: &str| alias.starts_with("ADP_CLI/") || alias.starts_with("AS_CLI/");
        let alias = |alias: &&str| {
            if elsewhere(alias) { (*alias).to_owned() } else { format!("{}/{alias}", context.tree.root()) }
        };
        let names: Vec<String> = context.aliases.iter().map(alias).collect();
        for name in names.iter().chain([&path]) {
            assert_eq!(
                session.line(&format!("cd /{name}"), &mut script),
                Flow::Continue,
                "{name}: {}",
                script.transcript
            );
            let shown = if context.aliases.contains(&name.as_str()) { name } else { &path };
            assert_eq!(session.prompt(), format!("{shown}> "), "{name}");
        }
        let mut run = |line: &str| {
            script.transcript.clear();
            let flow = session.line(line, &mut script);
            assert_eq!(flow, Flow::Continue, "{path}> {line}: {}", script.transcript);
            script.transcript.clone()
        };
        run("help");
        if context.shape != Shape::Actions {
            let text = run("get");
            assert!(!text.is_empty(), "{path}");
            assert!(context.shape == Shape::Single || text.contains("found."), "{path}: {text}");
        }
        for action in context.actions {
            assert!(run(&format!("help {}", action.name)).contains(action.name));
            for argument in action.arguments {
                assert!(
                    !argument.help.trim().is_empty(),
                    "{path} {} {} has no help",
                    action.name,
                    argument.name
                );
            }
        }
        for parameter in context.parameters {
            assert!(!parameter.help.trim().is_empty(), "{path} {} has no help", parameter.name);
        }
        for command in ["set", "add", "delete", "clear"] {
            script.transcript.clear();
            session.line(&format!("help {command}"), &mut script);
        }
    }
}

#[test]
fn the_contexts_of_the_main_job_are_there() {
    let registry = registry();
    for path in [
        "ADP_CLI/Interface/Http/HttpServer",
        "ADP_CLI/Interface/Http/HttpServer/SSLSettings/Ciphers",
        "ADP_CLI/Interface/Http/HttpServer/SSLSettings/Protocols",
        "ADP_CLI/Interface/Http/HttpServer/SSLSettings/Certificates",
        "ADP_CLI/Interface/Http/SSLCommonSettings/Ciphers",
        "ADP_CLI/Interface/Http/SSLCommonSettings/Protocols",
        "ADP_CLI/Interface/Http/SSLCommonSettings/ClientAuthentication/Trusts",
        "ADP_CLI/Interface/CTI/CTIServer",
        "ADP_CLI/Interface/CTI/CTIServer/SSLSettings/Ciphers",
        "ADP_CLI/Interface/CTI/CTIServer/SSLSettings/Protocols",
        "ADP_CLI/Interface/CTI/CTIServer/SSLSettings/Certificates",
        "ADP_CLI/Interface/CTI/SSLCommonSettings/Ciphers",
        "ADP_CLI/Interface/CTI/SSLCommonSettings/ClientAuthentication/Trusts",
        "ADP_CLI/System/SSLCommonSettings/JSSE/Ciphers",
        "ADP_CLI/System/SSLCommonSettings/JSSE/Protocols",
        "ADP_CLI/System/SSLCommonSettings/OpenSSL/Ciphers",
        "ADP_CLI/System/SSLCommonSettings/OpenSSL/Protocols",
        "ADP_CLI/Applications/AuthenticationService/TokenManagement",
        "ADP_CLI/Applications/AuthenticationService/KeyManagement",
        "ADP_CLI/Applications/Xsi-Actions/GeneralSettings",
        "ADP_CLI/Applications/Xsi-Events/GeneralSettings",
        "ADP_CLI/Applications/NotificationPushServer/FCM",
        "ADP_CLI/Applications/NotificationPushServer/APNS/Production",
        "ADP_CLI/System/CommunicationUtility/DefaultSettings/ExternalAuthentication/CertificateAuthentication",
        "AS_CLI/System/ClientIdentity",
    ] {
        assert!(registry.context(path).is_some(), "{path}");
    }
}

#[test]
fn a_fresh_installation_passes_its_own_checks() {
    let store = Store::in_memory(registry());
    assert_eq!(store.registry().check(&store.current()), []);
}

#[test]
fn a_session() {
    let dir = tempfile::tempdir().unwrap();
    let registry = registry();
    let mut session = session(dir.path(), &registry, Options::default());
    insta::assert_snapshot!(type_lines(
        &mut session,
        &mut Script::default(),
        "ADP_CLI/Applications/AuthenticationService/TokenManagement> get
         ADP_CLI/Applications/authenticationService/TokenManagement> set tokenDurationInHours 1440
         ADP_CLI/Applications/AuthService/TokenManagement> set tokenDurationInHours 4321
         ADP_CLI/Applications/AuthenticationService/TokenManagement> help set
         ADP_CLI/Interface/CTI/CTIServer> help add
         ADP_CLI/Interface/CTI/CTIServer> add 127.0.0.9 8012 true true true
         ADP_CLI/Interface/CTI/CTIServer> get
         ADP_CLI/Interface/CTI/CTIServer> add 127.0.0.9 8012 true true true
         ADP_CLI/System/SSLCommonSettings/JSSE/Ciphers> get
         ADP_CLI/Interface/Http/SSLCommonSettings/Ciphers> get
         ADP_CLI/Interface/Http/SSLCommonSettings/Protocols> get -e
         ADP_CLI/Interface/Http/HttpServer/SSLSettings/Ciphers> add 127.0.0.9 443 ECDHE-ECDSA-CHACHA20-POLY1305
         ADP_CLI/Interface/CTI/SSLCommonSettings/ClientAuthentication/Trusts> help updateTrust
         XSP|ADP_CLI/Interface/CTI/CTIServerSSLSettings/Protocols> get 127.0.0.9
         AS_CLI/System/ClientIdentity> add bwcticlient.webex.com
         AS_CLI/System/ClientIdentity> get
         XSP|ADP_CLI/Applications/Xsi-Events/BWIntegration> eventQueueSize = 2000"
    ));
}
