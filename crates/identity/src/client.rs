//! Services of the identity cloud that know us as a client: asked with access tokens of ours.

use crate::ages::Ages;
use crate::config::Registration;
use crate::exchange::{Exchange, Fault, Question, Reply, Ticks, plain};
use crate::grants::Grants;
use crate::settings::IdentityLimits;
use openadp_appserver::Clock;
use openadp_outgoing::TlsSource;
use openadp_settings::{Live, Store};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;
use zeroize::Zeroizing;

/// What a [`CloudClient`] works with.
pub struct ClientNeeds {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Ends it all.
    pub shutdown: CancellationToken,
    /// The settings, [`crate::MODULE`] among their declarations.
    pub store: Arc<Store>,
    /// All tasks run in here.
    pub tasks: TaskTracker,
    /// The monotonic time of access tokens and of hosts that are left alone.
    pub ticks: Ticks,
    /// TLS towards the cloud.
    pub tls: TlsSource,
}

/// A client of services of the cloud. Access tokens are had with a refresh token of the settings, renewed before they end, and
/// asked for by one at a time; a refresh token that replaces another is stored before it is used.
pub struct CloudClient {
    clock: Arc<dyn Clock>,
    exchange: Arc<Exchange>,
    grants: Grants,
    limits: Live<IdentityLimits>,
    store: Arc<Store>,
}

/// What [`CloudClient::upkeep`] remembers.
#[derive(Default)]
pub struct Upkeep(Ages);

impl CloudClient {
    /// Over these.
    pub fn new(needs: ClientNeeds) -> Self {
        let ClientNeeds { clock, shutdown, store, tasks, ticks, tls } = needs;
        let exchange = Arc::new(Exchange::new(&store, tls, ticks.clone(), tasks, shutdown));
        let grants = Grants::new(store.clone(), clock.clone(), exchange.clone(), ticks);
        Self { clock, exchange, grants, limits: store.live(), store }
    }

    /// Asks a service with an access token of ours: posts the form, or gets where there is none. A token that is not taken
    /// (401) is replaced, once.
    ///
    /// # Errors
    /// There is no access token, or no answer that can be used.
    pub async fn ask(
        &self,
        registration: &Registration,
        url: &Url,
        form: Option<&Zeroizing<String>>,
    ) -> Result<Reply, Fault> {
        let deadline = self.exchange.deadline();
        let mut refused = None;
        for _ in 0..2 {
            let token = self.grants.current(registration, refused.as_ref(), deadline).await?;
            let question = Question {
                url,
                authorization: Some(Zeroizing::new(format!("Bearer {}", token.as_str()))),
                form: form.cloned(),
                max_body: registration.max_body,
                deadline,
            };
            let reply = self.exchange.ask(question).await?;
            if reply.status != 401 {
                return Ok(reply);
            }
            refused = Some(token);
        }
        Err(Fault::new("clientRefused", format!("{} does not take our access token", plain(url))))
    }

    /// Gets what is open to everybody.
    ///
    /// # Errors
    /// There is no answer that can be used.
    pub async fn get(&self, url: &Url, max_body: usize) -> Result<Reply, Fault> {
        let deadline = self.exchange.deadline();
        self.exchange.ask(Question { url, authorization: None, form: None, max_body, deadline }).await
    }

    /// What is to be done now and then: keeps an access token of each of these registrations ready, so that refresh tokens stay
    /// in use, watches their age, and forgets access tokens of others.
    pub async fn upkeep(&self, registrations: &[Registration], upkeep: &mut Upkeep) {
        self.grants.keep_only(registrations);
        for registration in registrations {
            if !registration.slot.token(&self.store.current()).is_empty() {
                // A failure was told where it was met.
                drop(self.grants.current(registration, None, self.exchange.deadline()).await);
            }
        }
        let now = self.clock.now().unix_timestamp();
        upkeep.0.watch(&self.store, registrations, self.limits.load().alarm_days, now).await;
    }
}
