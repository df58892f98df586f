//! Who may ask for what: every row of the table of resources, by everybody who may not.

use crate::lab::{
    ALICE, CAROL, CHANNEL, EVE, Lab, administrator, client, provider_administrator, send, subscriber,
    subscription, system_administrator,
};
use openadp_appserver::Principal;
use openadp_xsi_api::{Application, Method, RESOURCES, Resource, ResourceState};

/// A path of a row about somebody, all other ids made up.
fn path(resource: &Resource, user: &str) -> String {
    let mut path = resource.path.replace("{user}", user).replace("{Service}", "DoNotDisturb");
    while let (Some(start), Some(end)) = (path.find('{'), path.find('}')) {
        path.replace_range(start..=end, "made-up");
    }
    path
}

async fn ask(lab: &Lab, who: &Principal, resource: &Resource, path: &str) -> (u16, String) {
    let document = match resource.application {
        Application::Events => subscription("Advanced Call"),
        Application::Actions if resource.path.ends_with("/Conference") && resource.method == Method::Post => {
            let call = "<conferenceParticipant><callId>callhalf-1:0</callId></conferenceParticipant>";
            format!(
                "<Conference><conferenceParticipantList>{call}{call}</conferenceParticipantList></Conference>"
            )
        }
        Application::Actions => String::new(),
    };
    let answer = send(&lab.api, resource.application, who, resource.method, path, &document).await;
    (answer.status, answer.text("errorCode").to_owned())
}

#[tokio::test]
async fn nobody_reaches_a_user_who_is_none_of_his() {
    let lab = Lab::new().await;
    let of_users: Vec<&Resource> =
        RESOURCES.iter().filter(|row| row.path.starts_with("user/{user}")).collect();
    assert!(of_users.len() > 60);
    let (forbidden, unknown) = ((403, "210403".to_owned()), (404, "210406".to_owned()));
    for resource in of_users {
        for (who, user, expected) in [
            // A subscriber: somebody of the own enterprise, of another one, and nobody.
            (subscriber(ALICE), CAROL, &forbidden),
            (subscriber(ALICE), EVE, &unknown),
            (subscriber(ALICE), "nobody@lab.example", &unknown),
            // A group administrator: another group, another enterprise, nobody, and an account that is no subscriber.
            (administrator(), CAROL, &forbidden),
            (administrator(), EVE, &unknown),
            (administrator(), "nobody@lab.example", &unknown),
            (administrator(), "north-admin@lab.example", &unknown),
            // The enterprise's administrator.
            (provider_administrator(), EVE, &unknown),
            (system_administrator(), "nobody@lab.example", &unknown),
        ] {
            let found = ask(&lab, &who, resource, &path(resource, user)).await;
            assert_eq!(&found, expected, "{:?} {} {user} by {}", resource.method, resource.path, who.id());
        }
    }
}

#[tokio::test]
async fn everybody_reaches_whom_he_may() {
    let lab = Lab::new().await;
    for (who, user) in [
        (subscriber(ALICE), ALICE),
        (administrator(), ALICE),
        (provider_administrator(), CAROL),
        (system_administrator(), EVE),
        (client(), EVE),
    ] {
        for resource in RESOURCES.iter().filter(|row| row.path.starts_with("user/{user}")) {
            let (_, code) = ask(&lab, &who, resource, &path(resource, user)).await;
            let own_only = resource.path.ends_with("logintoken") && who.id() != user;
            let reads_only = who == client()
                && resource.application == Application::Actions
                && resource.method != Method::Get;
            assert!(
                code != "210403" || own_only || reads_only,
                "{:?} {} {user} by {}",
                resource.method,
                resource.path,
                who.id()
            );
        }
    }
}

#[tokio::test]
async fn a_client_application_that_may_not_act_changes_nothing() {
    let lab = Lab::new().await;
    for resource in RESOURCES.iter().filter(|row| {
        row.path.starts_with("user/{user}")
            && row.application == Application::Actions
            && row.method != Method::Get
            && matches!(row.state, ResourceState::Served(_))
    }) {
        let path = format!("{}?address=1000&playdtmf=1", path(resource, ALICE));
        let found = ask(&lab, &client(), resource, &path).await;
        assert_eq!(found, (403, "210403".to_owned()), "{:?} {}", resource.method, resource.path);
    }
}

#[tokio::test]
async fn what_is_missing_is_missing_for_everybody() {
    let lab = Lab::new().await;
    for resource in RESOURCES.iter().filter(|row| matches!(row.state, ResourceState::Missing(_))) {
        for who in [subscriber(ALICE), system_administrator()] {
            let (status, code) = ask(&lab, &who, resource, &path(resource, ALICE)).await;
            assert!(
                matches!((status, code.as_str()), (404, "210404" | "210406") | (405, "210405")),
                "{:?} {} answers {status} {code}",
                resource.method,
                resource.path
            );
        }
    }
}

#[tokio::test]
async fn targets_above_and_beside_an_account_are_closed() {
    let lab = Lab::new().await;
    let (forbidden, unknown) = ((403, "210403"), (404, "210406"));
    for (who, target, expected) in [
        (subscriber(ALICE), "serviceprovider/acme", forbidden),
        (subscriber(ALICE), "enterprise/acme", forbidden),
        (subscriber(ALICE), "serviceprovider/acme/group/north", forbidden),
        (subscriber(ALICE), "group/north", forbidden),
        (subscriber(ALICE), "serviceprovider/strangers", unknown),
        (subscriber(ALICE), "serviceprovider/nobody", unknown),
        (subscriber(ALICE), "serviceprovider/strangers/group/far", unknown),
        (subscriber(ALICE), "system", forbidden),
        (administrator(), "serviceprovider/acme", forbidden),
        (administrator(), "serviceprovider/acme/group/south", forbidden),
        (administrator(), "group/south", forbidden),
        (administrator(), "serviceprovider/strangers/group/far", unknown),
        (administrator(), "system", forbidden),
        (provider_administrator(), "serviceprovider/strangers", unknown),
        (provider_administrator(), "serviceprovider/nobody", unknown),
        (provider_administrator(), "system", forbidden),
        (system_administrator(), "serviceprovider/nobody", unknown),
        (system_administrator(), "serviceprovider/acme/group/nobody", unknown),
    ] {
        let answer =
            send(&lab.api, Application::Events, &who, Method::Post, target, &subscription("Advanced Call"))
                .await;
        assert_eq!((answer.status, answer.text("errorCode")), expected, "{target} by {}", who.id());
    }
}

#[tokio::test]
async fn channels_and_subscriptions_are_their_owners_alone() {
    let lab = Lab::new().await;
    let alice = subscriber(ALICE);
    let channel = lab.open(&alice, CHANNEL).await;
    let made =
        lab.events(&alice, Method::Post, &format!("user/{ALICE}"), &subscription("Advanced Call")).await;
    let id = made.text("subscriptionId").to_owned();
    for who in
        [subscriber(CAROL), administrator(), provider_administrator(), system_administrator(), client()]
    {
        for (method, path, expected) in [
            (Method::Put, format!("channel/{}/heartbeat", channel.id), (404, "210407")),
            (Method::Put, format!("channel/{}", channel.id), (404, "210407")),
            (Method::Delete, format!("channel/{}", channel.id), (404, "210407")),
            (Method::Get, "channelset/set".to_owned(), (403, "110842")),
            (Method::Get, format!("subscription/{id}"), (403, "110862")),
            (Method::Put, format!("subscription/{id}"), (403, "110862")),
            (Method::Delete, format!("subscription/{id}"), (403, "110862")),
        ] {
            let document = if path.starts_with("channel") { "<Channel/>" } else { "<Subscription/>" };
            let answer = lab.events(&who, method, &path, document).await;
            assert_eq!(
                (answer.status, answer.text("errorCode")),
                expected,
                "{method:?} {path} by {}",
                who.id()
            );
        }
    }
    assert_eq!(lab.events(&alice, Method::Get, &format!("subscription/{id}"), "").await.status, 200);
}
