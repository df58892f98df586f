//! `AS_CLI/Interface/SIP/ProxyPolicy`: which headers and option tags of SIP go on from one side of a call to the other. cli.md 5.9
//!
//! This build has no interface for SIP: `ASDiagnostic/Diag> vtri` tells of a message what the policies make of it, so that they
//! can be tried before an adapter that speaks SIP reads them.

use openadp_settings::{Context, Kind, Parameter, Problem, Settings as _, Snapshot, Tree, context};

context! {
    /// Rules of the proxy policies: which way what has the rule goes on. Access is the side of the subscribers, network that of
    /// everybody else. vtri of ASDiagnostic/Diag applies them to a message; nothing else of this build speaks SIP.
    pub struct ProxyRule = Context::table(Tree::As, "Interface/SIP/ProxyPolicy/Rule") => {
        /// Name of the rule.
        pub name: String = Parameter::new("name", Kind::text(1, 80)).header("Name").key().left();
        /// Whether it goes on in requests from a subscriber to a subscriber.
        pub request_access_access: bool =
            Parameter::new("requestAccessToAccess", Kind::Boolean).header("Req A-A").mandatory();
        /// Whether it goes on in requests from a subscriber to somebody else.
        pub request_access_network: bool =
            Parameter::new("requestAccessToNetwork", Kind::Boolean).header("Req A-N").mandatory();
        /// Whether it goes on in requests from somebody else to a subscriber.
        pub request_network_access: bool =
            Parameter::new("requestNetworkToAccess", Kind::Boolean).header("Req N-A").mandatory();
        /// Whether it goes on in requests that begin and end elsewhere.
        pub request_network_network: bool =
            Parameter::new("requestNetworkToNetwork", Kind::Boolean).header("Req N-N").mandatory();
        /// Whether it goes on in answers from a subscriber to a subscriber.
        pub response_access_access: bool =
            Parameter::new("responseAccessToAccess", Kind::Boolean).header("Resp A-A").mandatory();
        /// Whether it goes on in answers from a subscriber to somebody else.
        pub response_access_network: bool =
            Parameter::new("responseAccessToNetwork", Kind::Boolean).header("Resp A-N").mandatory();
        /// Whether it goes on in answers from somebody else to a subscriber.
        pub response_network_access: bool =
            Parameter::new("responseNetworkToAccess", Kind::Boolean).header("Resp N-A").mandatory();
        /// Whether it goes on in answers that begin and end elsewhere.
        pub response_network_network: bool =
            Parameter::new("responseNetworkToNetwork", Kind::Boolean).header("Resp N-N").mandatory();
    }
}

context! {
    /// Headers that go on by a rule. A header without one is for the application server itself, and ends there.
    pub struct HeaderPolicy = Context::table(Tree::As, "Interface/SIP/ProxyPolicy/HeaderPolicy") => {
        /// Name of the header; case does not matter.
        pub name: String = Parameter::new("name", Kind::text(1, 80)).header("Header").key().left();
        /// Name of the rule.
        pub rule: String = Parameter::new("rule", Kind::text(1, 80)).header("Rule").mandatory().left();
    }
}

context! {
    /// Option tags (of Supported, Require, Proxy-Require and Unsupported) that go on by a rule. One without a rule ends at the
    /// application server.
    pub struct OptionTagPolicy = Context::table(Tree::As, "Interface/SIP/ProxyPolicy/OptionTagPolicy") => {
        /// The option tag, 100rel say.
        pub name: String = Parameter::new("name", Kind::text(1, 80)).header("Option Tag").key().left();
        /// Name of the rule.
        pub rule: String = Parameter::new("rule", Kind::text(1, 80)).header("Rule").mandatory().left();
    }
}

/// A side of the application server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Access,
    Network,
}

impl Side {
    /// Of a subscriber or of somebody else.
    pub(crate) fn of_subscriber(is_one: bool) -> Self {
        if is_one { Self::Access } else { Self::Network }
    }
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Network => "network",
        }
    }
}

impl ProxyRule {
    /// Whether what has the rule goes on.
    pub(crate) fn passes(&self, is_request: bool, from: Side, to: Side) -> bool {
        match (is_request, from, to) {
            (true, Side::Access, Side::Access) => self.request_access_access,
            (true, Side::Access, Side::Network) => self.request_access_network,
            (true, Side::Network, Side::Access) => self.request_network_access,
            (true, Side::Network, Side::Network) => self.request_network_network,
            (false, Side::Access, Side::Access) => self.response_access_access,
            (false, Side::Access, Side::Network) => self.response_access_network,
            (false, Side::Network, Side::Access) => self.response_network_access,
            (false, Side::Network, Side::Network) => self.response_network_network,
        }
    }
}

/// The policies of a snapshot.
pub(crate) struct Policies {
    rules: Vec<ProxyRule>,
    headers: Vec<HeaderPolicy>,
    tags: Vec<OptionTagPolicy>,
}

impl Policies {
    pub(crate) fn of(snapshot: &Snapshot) -> Self {
        Self { rules: snapshot.rows(), headers: snapshot.rows(), tags: snapshot.rows() }
    }

    fn rule(&self, name: &str) -> Option<&ProxyRule> {
        self.rules.iter().find(|rule| rule.name.eq_ignore_ascii_case(name))
    }
    /// The rule of a header, where it has one.
    pub(crate) fn of_header(&self, name: &str) -> Option<&ProxyRule> {
        let policy = self.headers.iter().find(|policy| policy.name.eq_ignore_ascii_case(name));
        self.rule(&policy?.rule)
    }
    /// The rule of an option tag, where it has one.
    pub(crate) fn of_tag(&self, name: &str) -> Option<&ProxyRule> {
        let policy = self.tags.iter().find(|policy| policy.name.eq_ignore_ascii_case(name));
        self.rule(&policy?.rule)
    }
}

/// A policy names a rule that is there; so a rule that is named cannot be deleted.
pub(crate) fn check(snapshot: &Snapshot) -> Vec<Problem> {
    let policies = Policies::of(snapshot);
    let named = |context: &'static Context, name: &str, rule: &str| {
        let reason = format!("{name} has the rule {rule}, which is not there");
        let hint = format!("add it in {}, or delete {name} here", ProxyRule::CONTEXT.full_path());
        policies
            .rule(rule)
            .is_none()
            .then(|| Problem::new(context.full_path(), reason).parameter("rule").hint(hint))
    };
    let headers =
        policies.headers.iter().filter_map(|row| named(HeaderPolicy::CONTEXT, &row.name, &row.rule));
    let tags = policies.tags.iter().filter_map(|row| named(OptionTagPolicy::CONTEXT, &row.name, &row.rule));
    headers.chain(tags).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use openadp_settings::{Author, Change, Edit, Registry, Store};
    use std::collections::BTreeMap;
    use time::OffsetDateTime;

    fn add(context: &'static Context, values: &[&str]) -> Edit {
        let named = context.parameters.iter().zip(values);
        let values: BTreeMap<String, String> =
            named.map(|(parameter, value)| (parameter.name.to_owned(), (*value).to_owned())).collect();
        Edit::Add { context: context.full_path(), values }
    }

    #[test]
    fn each_direction_has_its_own_word_and_a_rule_in_use_stays() {
        let store = Store::in_memory(Registry::new([crate::MODULE]).unwrap());
        let commit = |edits: Vec<Edit>| {
            let change = Change { author: Author("tester".to_owned()), comment: None, edits, force: false };
            store.commit(&change, OffsetDateTime::UNIX_EPOCH)
        };
        let directions = [true, false].into_iter().flat_map(|request| {
            [Side::Access, Side::Network].into_iter().flat_map(move |from| {
                [Side::Access, Side::Network].into_iter().map(move |to| (request, from, to))
            })
        });
        for (place, _) in directions.clone().enumerate() {
            let name = format!("only-{place}");
            let mut values = vec!["false"; 9];
            values[0] = &name;
            values[place + 1] = "true";
            commit(vec![add(ProxyRule::CONTEXT, &values)]).unwrap();
        }
        let policies = Policies::of(&store.current());
        for (place, (request, from, to)) in directions.enumerate() {
            let passing: Vec<usize> = (0..8)
                .filter(|number| policies.rule(&format!("ONLY-{number}")).unwrap().passes(request, from, to))
                .collect();
            assert_eq!(passing, [place], "{request} {from:?} {to:?}");
        }
        let refused = commit(vec![add(HeaderPolicy::CONTEXT, &["X-Trace", "none"])]).unwrap_err();
        assert!(refused.to_string().contains("X-Trace has the rule none"), "{refused}");
        commit(vec![add(HeaderPolicy::CONTEXT, &["X-Trace", "only-1"])]).unwrap();
        commit(vec![add(OptionTagPolicy::CONTEXT, &["100rel", "only-2"])]).unwrap();
        let delete =
            |name: &str| Edit::Delete { context: ProxyRule::CONTEXT.full_path(), key: vec![name.to_owned()] };
        for name in ["only-1", "only-2"] {
            assert!(commit(vec![delete(name)]).is_err(), "{name}");
        }
        commit(vec![delete("only-3")]).unwrap();
        let policies = Policies::of(&store.current());
        assert_eq!(policies.of_header("x-TRACE").map(|rule| rule.name.as_str()), Some("only-1"));
        assert_eq!(policies.of_tag("100REL").map(|rule| rule.name.as_str()), Some("only-2"));
        assert!(policies.of_header("Via").is_none());
    }
}
