//! Every row of the table of resources, asked of a running server: what it says is served is served, as XML and as JSON, with
//! the right root and type; what it says is not is refused.

use anyhow::{Context as _, Result, ensure};
use openadp_suite::{Account, EventChannel, Lab, PATIENCE, Response};
use openadp_xsi_api::{Application, Method, RESOURCES, Resource, ResourceState};
use std::time::Instant;

const XSI: &str = "xmlns=\"http://schema.broadsoft.com/xsi\"";

/// What the rows are asked with.
struct World {
    lab: Lab,
    /// Whose resources they are.
    bo: Account,
    alice: Account,
    carol: Account,
    dan: Account,
    group: String,
    line_port: String,
    message: String,
    center: String,
    channel: EventChannel,
}

/// A request: who asks, the path with its query, the body.
type Sample = (Account, String, String);

impl World {
    fn new() -> Result<Self> {
        let lab = Lab::start()?;
        let [alice, bo, carol, dan] = std::array::from_fn(|n| lab.subscriber(n));
        let described = lab.describe()?;
        let group = described["subscribers"][1]["group"].as_str().context("a group")?.to_owned();
        let center = lab.subscriber(4).user_id;
        lab.administer(&call_center(&center, &bo).each_ref().map(String::as_str))?;
        let add = format!("AS_CLI/SubscriberMgmt/CustomContactDirectory> add {} {group} Desk", bo.enterprise);
        lab.administer(&[
            &format!("AS_CLI/SubscriberMgmt/VoiceMessage> add {} callerNumber 9", bo.user_id),
            &format!("{add} userId {}", alice.user_id),
            "AS_CLI/Service/IntegratedIMP/DefaultAttribute> set userAttrIsActive true",
            "AS_CLI/Service/IntegratedIMP> set serviceDomain im.lab.example",
            // Nobody reads the channels of this test: however long it takes on a busy machine, they live on.
            "ADP_CLI/Applications/Xsi-Events/GeneralSettings> set notificationTimeoutInSeconds 300",
            "ADP_CLI/Applications/Xsi-Events/GeneralSettings> set clientHeartbeatTimeoutInSeconds 3600",
        ])?;
        let put = |who: &Account, service: &str, children: &str| -> Result<()> {
            let url = lab.user_url(who, &format!("services/{service}"));
            let body = format!("<{service} {XSI}>{children}</{service}>");
            lab.curl(who).body(body).put(&url)?.expect_status(200).map(|_| ())
        };
        put(&bo, "CallRecording", "<recordingMode>on-demand-user-start</recordingMode>")?;
        put(&alice, "VoiceMessaging", "<active>true</active>")?;
        let read = |path: &str, name: &str| -> Result<String> {
            let answer = lab.curl(&bo).get(&lab.user_url(&bo, path))?.expect_status(200)?;
            Ok(answer.text_of(name).with_context(|| format!("{path}: {}", answer.body))?.to_owned())
        };
        let line_port = read("profile/device", "deviceLinePort")?;
        let message = read("VoiceMessagingMessages", "messageId")?;
        let message = message.rsplit('/').next().context("an id")?.to_owned();
        let channel = lab.channel(&bo, "set")?;
        Ok(Self { lab, bo, alice, carol, dan, group, line_port, message, center, channel })
    }

    fn url(&self, application: Application, path: &str) -> String {
        let base = match application {
            Application::Actions => self.lab.text("xsi_actions"),
            Application::Events => self.lab.text("xsi_events"),
        };
        format!("{base}/v2.0/{path}")
    }

    fn ask(&self, resource: &Resource, (who, path, body): &Sample, json: bool) -> Result<Response> {
        let separator = if path.contains('?') { '&' } else { '?' };
        let path = if json { format!("{path}{separator}format=json") } else { path.clone() };
        let curl = self.lab.curl(who);
        let curl = if body.is_empty() { curl } else { curl.body(body.clone()) };
        curl.send(resource.method.as_str(), &self.url(resource.application, &path))
    }

    /// A new call of somebody; the id of his half and, once it rings there, of the other.
    fn call(&self, from: &Account, to: &Account) -> Result<(String, String)> {
        let dial = format!("calls/new?address={}", to.extension);
        let started = self.lab.curl(from).post(&self.lab.user_url(from, &dial))?.expect_status(201)?;
        let own = started.text_of("callId").context("a call")?.to_owned();
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            let calls = self.lab.curl(to).get(&self.lab.user_url(to, "calls"))?.expect_status(200)?;
            if let Some(id) =
                calls.body.split("<callId>").skip(1).last().and_then(|rest| rest.split('<').next())
            {
                return Ok((own, id.to_owned()));
            }
        }
        anyhow::bail!("it does not ring")
    }

    fn act(&self, call: &str, action: &str) -> Result<()> {
        let url = self.lab.user_url(&self.bo, &format!("calls/{call}/{action}"));
        self.lab.curl(&self.bo).put(&url)?.expect_status(200).map(|_| ())
    }

    /// A call of Bo's that is answered.
    fn answered(&self, from: &Account) -> Result<String> {
        let (_, call) = self.call(from, &self.bo)?;
        self.act(&call, "Talk")?;
        Ok(call)
    }

    /// Two answered calls of Bo's, in a conference where the row is about one; and the call that the row is about.
    fn conference(&self, resource: &Resource) -> Result<(Vec<String>, Option<String>)> {
        self.quiet()?;
        let one = self.answered(&self.alice)?;
        let other = self.answered(&self.carol)?;
        let calls = vec![one, other.clone()];
        if resource.method == Method::Post {
            return Ok((calls, None));
        }
        let start = Resource { method: Method::Post, path: "user/{user}/calls/Conference", ..*resource };
        let part =
            |id: &String| format!("<conferenceParticipant><callId>{id}</callId></conferenceParticipant>");
        let parts: String = calls.iter().map(part).collect();
        let body = format!(
            "<Conference {XSI}><conferenceParticipantList>{parts}</conferenceParticipantList></Conference>"
        );
        let path = format!("user/{}/calls/Conference", self.bo.user_id);
        self.ask(&start, &(self.bo.clone(), path, body), false)?.expect_status(201)?;
        let conference = |part: &str| -> Result<()> {
            let url = self.lab.user_url(&self.bo, &format!("calls/Conference/{part}"));
            self.lab.curl(&self.bo).put(&url)?.expect_status(200).map(|_| ())
        };
        // What is undone was done before.
        match resource.path.trim_start_matches("user/{user}/calls/Conference") {
            "/{call}/UnDeaf" => conference(&format!("{other}/Deaf"))?,
            "/{call}/UnMute" => conference(&format!("{other}/Mute"))?,
            "/Talk" => conference("Hold")?,
            "/UnMute" => conference("Mute")?,
            "/{call}" if resource.method == Method::Put => {
                // Whoever is answered holds the others.
                let third = self.answered(&self.dan)?;
                conference("Talk")?;
                return Ok((calls, Some(third)));
            }
            _ => {}
        }
        Ok((calls, Some(other)))
    }

    /// Ends all calls.
    fn quiet(&self) -> Result<()> {
        for who in [&self.alice, &self.bo, &self.carol, &self.dan] {
            let calls = self.lab.curl(who).get(&self.lab.user_url(who, "calls"))?.expect_status(200)?;
            for id in calls.body.split("<callId>").skip(1).filter_map(|rest| rest.split('<').next()) {
                // The other side may have ended it.
                self.lab.curl(who).delete(&self.lab.user_url(who, &format!("calls/{id}")))?;
            }
        }
        Ok(())
    }

    fn subscription(&self, who: &Account, target: &str, set: &str) -> Result<String> {
        let body = subscription(set);
        let answer =
            self.lab.curl(who).body(body).post(&self.url(Application::Events, target))?.expect_status(200)?;
        Ok(answer.text_of("subscriptionId").context("an id")?.to_owned())
    }

    /// What a row is asked with. Whatever it needs is made first.
    fn sample(&self, resource: &Resource) -> Result<Sample> {
        let bo = &self.bo;
        let mut who = bo.clone();
        let mut body = String::new();
        let mut path = resource.path.replace("{user}", &bo.user_id);
        let mut put = |name: &str, value: &str| path = path.replace(name, value);
        put("{Service}", "DoNotDisturb");
        put("{center}", &self.center);
        put("{linePort}", &self.line_port);
        put("{directory}", "Desk");
        put("{registration}", "r-1");
        put("{controller}", "any");
        put("{channelSet}", "set");
        put("{channel}", &self.channel.channel_id);
        put("{group}", &self.group);
        put("{provider}", &bo.enterprise);
        put("{message}", &self.message);
        let last = resource.path.rsplit('/').next().unwrap_or_default();
        let served = !matches!(resource.state, ResourceState::Missing(_));
        let call = match last {
            _ if !served => None,
            _ if resource.path.contains("/Conference") => {
                let (_, call) = self.conference(resource)?;
                call
            }
            "CallParkRetrieve" => {
                let call = self.answered(&self.alice)?;
                self.act(&call, "Park")?;
                None
            }
            "CallPickup" | "DirectedCallPickup" => {
                self.call(&self.carol, &self.alice)?;
                None
            }
            _ if !resource.path.contains("{call}") => None,
            "Talk" | "Reconnect" => {
                let call = self.answered(&self.alice)?;
                self.act(&call, "Hold")?;
                Some(call)
            }
            "{otherCall}" => {
                let first = self.answered(&self.alice)?;
                let (_, second) = self.call(&self.carol, bo)?;
                self.act(&second, "Talk")?;
                put("{otherCall}", &second);
                Some(first)
            }
            "Deflect" => Some(self.call(&self.alice, bo)?.1),
            "StopRecording" | "PauseRecording" | "ResumeRecording" => {
                let call = self.answered(&self.alice)?;
                self.act(&call, "Record")?;
                if last == "ResumeRecording" {
                    self.act(&call, "PauseRecording")?;
                }
                Some(call)
            }
            _ => Some(self.answered(&self.alice)?),
        };
        if let Some(call) = &call {
            put("{call}", call);
        }
        if resource.path.contains("{subscription}") {
            put("{subscription}", &self.subscription(bo, &format!("user/{}", bo.user_id), "set")?);
        }
        let target = resource.path.split('/').next().unwrap_or_default();
        match (resource.method, resource.path) {
            (_, "group/{group}/services/callcenter/unavailablecodes") => {
                path.extend(["?enterpriseId=", &bo.enterprise]);
            }
            (Method::Put, "user/{user}/calls/{call}/TransmitDTMF") => path.push_str("?playdtmf=12,3"),
            (Method::Post, "user/{user}/calls/new")
            | (Method::Put, "user/{user}/calls/{call}/VmTransfer")
            | (_, "user/{user}/calls/DirectedCallPickup") => {
                path.extend(["?address=", &self.alice.extension]);
            }
            (Method::Post, "user/{user}/calls/Conference") => {
                let (calls, _) = self.conference(resource)?;
                let part = |id: &String| {
                    format!("<conferenceParticipant><callId>{id}</callId></conferenceParticipant>")
                };
                let parts: String = calls.iter().map(part).collect();
                body = format!(
                    "<Conference {XSI}><conferenceParticipantList>{parts}</conferenceParticipantList></Conference>"
                );
            }
            (Method::Put, call)
                if ["BlindTransfer", "MuteTransfer", "Deflect"].iter().any(|end| call.ends_with(end)) =>
            {
                path.extend(["?address=", &self.carol.extension]);
            }
            (Method::Put, "user/{user}/profile/Password/Portal") => {
                who = self.lab.administrator("system");
                body = format!("<Portal {XSI}><newPassword>{}</newPassword></Portal>", bo.password);
            }
            (Method::Put, "user/{user}/profile/device/{linePort}") => {
                body =
                    format!("<AccessDevice {XSI}><allowTermination>true</allowTermination></AccessDevice>");
            }
            (Method::Put, "user/{user}/services/{Service}") => {
                body = format!("<DoNotDisturb {XSI}><active>false</active></DoNotDisturb>");
            }
            (Method::Post | Method::Put, path) if path.contains("PushNotificationRegistrations") => {
                body = registration();
            }
            (Method::Put, "channel/{channel}") => {
                body = format!("<Channel {XSI}><expires>7200</expires></Channel>");
            }
            (Method::Put, "subscription/{subscription}") => {
                body = format!("<Subscription {XSI}><expires>7200</expires></Subscription>");
            }
            (Method::Post, "channel/eventresponse") => {
                body = format!(
                    "<EventResponse {XSI}><eventID>00000000-0000-4000-8000-000000000000</eventID>\
                     <statusCode>200</statusCode></EventResponse>"
                );
            }
            (Method::Post, _) if resource.application == Application::Events && target == "user" => {
                body = subscription("set");
            }
            (Method::Post, _) if resource.application == Application::Events && target != "channel" => {
                // What lies above a user is for who administers it.
                let level = if path.contains("group/") && !path.contains('?') { "group" } else { "" };
                who = match (resource.path, level) {
                    ("system", _) => self.lab.administrator("system"),
                    (_, "group") => self.lab.administrator("group"),
                    _ => self.lab.administrator("enterprise"),
                };
                body = subscription("above");
            }
            _ => {}
        }
        Ok((who, path, body))
    }
}

/// Makes a subscriber a call centre, and another its agent.
fn call_center(center: &str, agent: &Account) -> [String; 3] {
    [
        format!("AS_CLI/SubscriberMgmt/CallCenter> set {center} queueLength 10 longestWaitInSeconds 600"),
        format!("AS_CLI/SubscriberMgmt/CallCenter> addAgent {center} {}", agent.user_id),
        format!("AS_CLI/SubscriberMgmt/CallCenter> setCode {} 10 Lunch", agent.enterprise),
    ]
}

fn subscription(set: &str) -> String {
    format!(
        "<Subscription {XSI}><event>Advanced Call</event><channelSetId>{set}</channelSetId></Subscription>"
    )
}

fn registration() -> String {
    format!(
        "<PushNotificationRegistration {XSI}><applicationId>com.cisco.squared</applicationId><applicationVersion>1</applicationVersion>\
         <registrationId>r-1</registrationId><deviceOSType>iOS</deviceOSType><deviceOSVersion>18</deviceOSVersion>\
         <deviceTokenList><deviceToken><token>aa</token></deviceToken></deviceTokenList></PushNotificationRegistration>"
    )
}

/// Name of a document's root, in XML.
fn root_of(body: &str) -> Option<&str> {
    let after = body.split("?>").nth(1)?.trim_start().strip_prefix('<')?;
    after.split(|c: char| c.is_whitespace() || matches!(c, '>' | '/')).next()
}

fn check(resource: &Resource, root: &str, answer: &Response, json: bool) -> Result<()> {
    let what = || format!("{} {}: {answer:?}", resource.method.as_str(), resource.path);
    ensure!(matches!(answer.status, 200 | 201), "{}", what());
    let kind = answer.header("Content-Type").unwrap_or_default().to_ascii_lowercase().replace(' ', "");
    if json {
        ensure!(kind == "application/json;charset=utf-8", "{}", what());
        let document: serde_json::Value = serde_json::from_str(&answer.body).with_context(what)?;
        let names: Vec<&String> = document.as_object().with_context(what)?.keys().collect();
        ensure!(names == [root], "{}", what());
    } else {
        ensure!(
            matches!(kind.as_str(), "application/xml;charset=utf-8" | "text/xml;charset=utf-8"),
            "{}",
            what()
        );
        ensure!(root_of(&answer.body) == Some(root), "{}", what());
    }
    Ok(())
}

#[test]
fn every_resource_is_in_the_state_that_the_table_says() -> Result<()> {
    let world = World::new()?;
    // Administrators subscribe with sets of their own.
    let above: Vec<EventChannel> = ["system", "enterprise", "group"]
        .iter()
        .map(|level| world.lab.channel(&world.lab.administrator(level), "above"))
        .collect::<Result<_>>()?;
    for resource in RESOURCES {
        let what = || format!("{} {}", resource.method.as_str(), resource.path);
        // Opening a channel never ends; the lab's own client did it.
        if resource.path == "channel" {
            continue;
        }
        let sample = world.sample(resource).with_context(what)?;
        match resource.state {
            ResourceState::Served(Some(root)) => {
                let root = if root == "{Service}" { "DoNotDisturb" } else { root };
                check(resource, root, &world.ask(resource, &sample, false).with_context(what)?, false)?;
                // What was made, or taken, is made and taken once.
                let sample = if resource.method == Method::Get {
                    sample.clone()
                } else {
                    world.quiet()?;
                    world.sample(resource).with_context(what)?
                };
                check(resource, root, &world.ask(resource, &sample, true).with_context(what)?, true)?;
            }
            ResourceState::Served(None) => {
                let answer = world.ask(resource, &sample, false).with_context(what)?;
                ensure!(
                    matches!(answer.status, 200 | 201) && answer.body.is_empty(),
                    "{}: {answer:?}",
                    what()
                );
                if resource.method == Method::Delete && !resource.path.ends_with("CallLogs") {
                    let again = world.ask(resource, &sample, false).with_context(what)?;
                    ensure!(again.status >= 400, "{} deletes twice: {again:?}", what());
                }
            }
            ResourceState::Refused(_) => {
                let answer = world.ask(resource, &sample, false).with_context(what)?;
                ensure!(answer.text_of("errorCode") == Some("210408"), "{}: {answer:?}", what());
            }
            ResourceState::Missing(_) => {
                let answer = world.ask(resource, &sample, false).with_context(what)?;
                ensure!(matches!(answer.status, 404 | 405), "{}: {answer:?}", what());
            }
        }
        let nobody = openadp_suite::Curl::new(world.lab.ca());
        let url = world.url(resource.application, &sample.1);
        let answer = nobody.send(resource.method.as_str(), &url).with_context(what)?;
        ensure!(
            answer.status == 401 && answer.header("WWW-Authenticate").is_some(),
            "{}: {answer:?}",
            what()
        );
        if resource.path.contains("/calls/") {
            world.quiet()?;
        }
    }
    drop(above);
    Ok(())
}

#[test]
fn every_service_is_in_the_state_that_the_table_says() -> Result<()> {
    let lab = Lab::start()?;
    let alice = lab.subscriber(0);
    lab.administer(&call_center(&lab.subscriber(4).user_id, &alice).each_ref().map(String::as_str))?;
    for (segment, served) in openadp_xsi_api::service_resources() {
        let resource = Resource {
            section: "3.3",
            application: Application::Actions,
            method: Method::Get,
            path: segment,
            state: ResourceState::Served(Some(segment)),
        };
        let url = lab.user_url(&alice, &format!("services/{segment}"));
        for (query, json) in [("", false), ("?format=json", true)] {
            let answer = lab.curl(&alice).get(&format!("{url}{query}"))?;
            if served {
                check(&resource, segment, &answer, json)?;
            } else {
                ensure!(answer.status == 404, "{segment}: {answer:?}");
            }
        }
        // A change of nothing is a change all the same; of what is missing it is none.
        let put = lab.curl(&alice).body(format!("<{segment} {XSI}/>")).put(&url)?;
        ensure!(put.status == if served { 200 } else { 404 }, "{segment}: {put:?}");
    }
    Ok(())
}
