//! A program with one application: what a `main()` of this suite looks like. The tests of this crate run it.

use axum::Extension;
use axum::body::Body;
use axum::response::IntoResponse;
use axum::routing::get;
use futures_util::{FutureExt, StreamExt};
use openadp_daemon::{ApplicationSpec, Program, run};
use openadp_webcontainer::{Application, ConnectionInfo, Mount};
use std::convert::Infallible;
use std::process::ExitCode;
use std::sync::Arc;

const HELLO: ApplicationSpec = ApplicationSpec {
    name: "Hello",
    modules: &[],
    needs_application_server: true,
    exclusive: false,
    build: |host| {
        let (shutdown, authenticator) = (host.shutdown.clone(), host.authenticator.clone());
        let router = axum::Router::new()
            .route("/world", get(async || "hello\n"))
            .route(
                "/me",
                get(
                    async move |Extension(info): Extension<Arc<ConnectionInfo>>, headers: http::HeaderMap| {
                        match authenticator.authenticate(&headers, info.peer.ip()).await {
                            Ok(principal) => principal.id().to_owned().into_response(),
                            Err(_refused) => http::StatusCode::UNAUTHORIZED.into_response(),
                        }
                    },
                ),
            )
            // Ends politely when the process drains.
            .route("/polite", get(async move || stream(async move { shutdown.cancelled().await })))
            // Does not end.
            .route("/stuck", get(async || stream(std::future::pending())));
        Ok(Application { name: "Hello", mounts: vec![Mount::new("/hello", router)] })
    },
};

/// Some bytes at once, some more when `until` is over.
fn stream(until: impl Future<Output = ()> + Send + 'static) -> impl IntoResponse {
    let first = async { Ok::<_, Infallible>("begin\n") };
    let last = async move {
        until.await;
        Ok("end\n")
    };
    Body::from_stream(first.into_stream().chain(last.into_stream()))
}

fn main() -> ExitCode {
    run(Program { name: "hello", about: "Says hello", applications: &[HELLO], servers: &[] })
}
