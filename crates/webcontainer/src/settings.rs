//! The container's settings. cli.md 5.6.

use crate::auth_service::AuthServiceAddress;
use crate::binding::HttpBinding;
use crate::cors::CorsOrigin;
use crate::failure_settings::{ExemptSource, FailureLimits};
use openadp_settings::{Apply, Context, Kind, Module, Parameter, Problem, Settings, Snapshot, Tree, context};

context! {
    /// General settings of the web container.
    pub struct GeneralSettings = Context::single(Tree::Adp, "Applications/WebContainer/Tomcat/GeneralSettings") => {
        /// How user ids and passwords of Basic authentication are encoded by the clients.
        pub authentication_encoding: String =
            Parameter::new("authenticationEncoding", Kind::Choice(&["ISO-8859-1", "UTF-8"])).default("ISO-8859-1");
    }
}

context! {
    /// Limits of the web container. A request beyond one of them gets a clear refusal and costs the others nothing.
    pub struct LimitSettings = Context::single(Tree::Adp, "Applications/WebContainer/Tomcat/Limits") => {
        /// Time within which every request is answered, or refused with 503. Time spent waiting for the client's own
        /// body is not counted, and an answer's body may take longer.
        pub answer_timeout_millis: u32 =
            Parameter::new("answerTimeoutInMilliseconds", Kind::integer(100, 2000)).default("2000").unit("milliseconds");
        /// Time that a client has to send the head of a request once it has begun.
        pub head_timeout_secs: u32 = Parameter::new("headTimeoutInSeconds", Kind::integer(1, 60))
            .default("10").unit("seconds");
        /// Time that a client has to send the body of a request.
        pub body_timeout_secs: u32 = Parameter::new("bodyTimeoutInSeconds", Kind::integer(1, 600))
            .default("30").unit("seconds");
        /// Time after which a connection without a request is closed.
        pub idle_timeout_secs: u32 = Parameter::new("idleTimeoutInSeconds", Kind::integer(1, 3600))
            .default("75").unit("seconds");
        /// Time after which a connection is closed whose client does not read what it is sent.
        pub write_timeout_secs: u32 = Parameter::new("writeTimeoutInSeconds", Kind::integer(1, 600))
            .default("30").unit("seconds");
        /// Bytes of a request's body.
        pub max_body_bytes: u32 = Parameter::new("maxBodyBytes", Kind::integer(1024, 104_857_600))
            .default("1048576").unit("bytes");
        /// Bytes of a request's head.
        pub max_head_bytes: u32 = Parameter::new("maxHeadBytes", Kind::integer(8192, 262_144))
            .default("32768").unit("bytes").apply(Apply::NextConnection);
        /// Header fields of a request.
        pub max_headers: u32 = Parameter::new("maxHeaders", Kind::integer(16, 1000))
            .default("100").apply(Apply::NextConnection);
        /// Requests at once on one HTTP/2 connection.
        pub max_streams: u32 = Parameter::new("maxStreamsPerConnection", Kind::integer(1, 10_000))
            .default("250").apply(Apply::NextConnection);
        /// Requests of all applications that are worked on at once; further ones are refused with 503.
        pub max_requests: u32 = Parameter::new("maxConcurrentRequests", Kind::integer(1, 100_000)).default("2000");
        /// Requests of one application that are worked on at once; further ones are refused with 503.
        pub max_requests_per_application: u32 =
            Parameter::new("maxConcurrentRequestsPerApplication", Kind::integer(1, 100_000)).default("1500");
    }
}

/// Option of the container with the AuthenticationService that checks tokens.
pub(crate) const AUTH_SERVICE_URL: &str = "bw.authservice.authServiceUrl";
/// The container of this build.
const TOMCAT: &str = "tomcat";
/// What the value of the option must be.
const URL: Kind = Kind::Url(&["http", "https"]);

context! {
    /// Options of the containers of the product, by name. This build reads bw.authservice.authServiceUrl of the container
    /// tomcat: what ExternalAuthentication/AuthService says, for installations whose guide sets it here; that one goes first.
    /// Others are kept for both trees alike, and whoever sets one is told that it is not used.
    pub struct ContainerOptions = Context::table(Tree::Adp, "Maintenance/ContainerOptions")
        .aliases(&["AS_CLI/Maintenance/ContainerOptions"])
        .row_remark(option_remark) => {
        /// The container that it is for.
        pub container: String =
            Parameter::new("container", Kind::Choice(&["execution", "platform", "provisioning", "tomcat"]))
                .header("Container").key().left();
        /// Name of the option: bw.authservice.authServiceUrl.
        pub name: String = Parameter::new("name", Kind::text(1, 255)).header("Name").key().left();
        /// Its value.
        pub value: String =
            Parameter::new("value", Kind::text(1, 1024)).header("Value").mandatory().left();
    }
}

impl ContainerOptions {
    fn is_auth_service(container: &str, name: &str) -> bool {
        container.eq_ignore_ascii_case(TOMCAT) && name.eq_ignore_ascii_case(AUTH_SERVICE_URL)
    }
    /// URL of the AuthenticationService, where the option is set.
    pub(crate) fn auth_service(snapshot: &Snapshot) -> Option<String> {
        let mut options = snapshot.rows::<Self>().into_iter();
        options
            .find(|option| Self::is_auth_service(&option.container, &option.name))
            .map(|option| option.value)
    }
}

/// Says of an option that nothing reads it, and what is used in its place.
fn option_remark(key: &[&str]) -> Option<String> {
    let [container, name] = key else { return None };
    if ContainerOptions::is_auth_service(container, name) {
        return None;
    }
    let place = match name.to_ascii_lowercase().as_str() {
        "bw.apache.sslenabledprotocols" => "; Interface/Http/SSLCommonSettings/Protocols has the protocols",
        "bw.authservice.authserviceurl" => "; it is one of the container tomcat",
        _ => "",
    };
    Some(format!("not used by this build: {name}{place}"))
}

/// What is to be read must be readable.
fn check(snapshot: &Snapshot) -> Vec<Problem> {
    let Some(url) = ContainerOptions::auth_service(snapshot) else { return Vec::new() };
    let Err(reason) = URL.parse(&url) else { return Vec::new() };
    vec![Problem::new(ContainerOptions::CONTEXT.full_path(), reason).parameter("value")]
}

context! {
    /// Common names of client certificates that are served where a certificate is wanted. While the list is empty, every
    /// certificate is served that a trust anchor vouches for.
    pub struct ClientName = Context::table(
        Tree::Adp,
        "Interface/Http/SSLCommonSettings/ClientAuthentication/AllowedClients",
    )
    .without(&["set"]) => {
        /// Common name of the subject, compared without regard to case; alternative names do not count.
        pub common_name: String = Parameter::new("commonName", Kind::text(1, 256)).header("Common Name").key().left();
    }
}

/// All contexts of this crate.
pub const MODULE: Module = Module::new("webcontainer")
    .contexts(&[
        GeneralSettings::CONTEXT,
        LimitSettings::CONTEXT,
        HttpBinding::CONTEXT,
        CorsOrigin::CONTEXT,
        AuthServiceAddress::CONTEXT,
        ContainerOptions::CONTEXT,
        ClientName::CONTEXT,
        FailureLimits::CONTEXT,
        ExemptSource::CONTEXT,
    ])
    .checks(&[check, crate::cors::check]);
