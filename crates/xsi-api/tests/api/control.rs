//! Places, parks, conferences and recordings, as clients see them.

use crate::lab::{ALICE, BO, CAROL, CHANNEL, Lab, subscriber, subscription};
use openadp_appserver::Principal;
use openadp_xsi_api::Method::{self, Delete, Get, Post, Put};

struct Phone<'a> {
    lab: &'a Lab,
    user: &'static str,
    who: Principal,
}

impl<'a> Phone<'a> {
    fn new(lab: &'a Lab, user: &'static str) -> Self {
        Self { lab, user, who: subscriber(user) }
    }
    async fn send(&self, method: Method, path: &str, document: &str) -> crate::lab::Answer {
        self.lab.actions(&self.who, method, &format!("user/{}/{path}", self.user), document).await
    }
    async fn ok(&self, method: Method, path: &str, document: &str) -> crate::lab::Answer {
        let answer = self.send(method, path, document).await;
        assert!(matches!(answer.status, 200 | 201), "{method:?} {path}: {} {}", answer.status, answer.xml);
        answer
    }
    async fn dial(&self, query: &str) -> String {
        self.ok(Post, &format!("calls/new?{query}"), "").await.text("callId").to_owned()
    }
    /// The only call.
    async fn call(&self) -> String {
        let calls = self.ok(Get, "calls", "").await;
        assert_eq!(calls.xml.matches("<callId>").count(), 1, "{}", calls.xml);
        calls.text("callId").to_owned()
    }
    async fn answer(&self) -> String {
        let call = self.call().await;
        self.ok(Put, &format!("calls/{call}/Talk"), "").await;
        call
    }
}

#[tokio::test]
async fn locations_are_made_rung_and_called_from() {
    let lab = Lab::new().await;
    let (alice, bo, carol) = (Phone::new(&lab, ALICE), Phone::new(&lab, BO), Phone::new(&lab, CAROL));
    let list = "services/BroadWorksAnywhere/location";
    let location = "<BroadWorksAnywhereLocation xmlns=\"http://schema.broadsoft.com/xsi\"><phoneNumber>+15550100122</phoneNumber>\
                    <description>Garden</description><active>true</active></BroadWorksAnywhereLocation>";
    let made = bo.send(Post, list, location).await;
    assert_eq!(made.status, 201, "{}", made.xml);
    let uri = "/v2.0/user/bo%40lab.example/services/BroadWorksAnywhere/location/%2B15550100122";
    assert_eq!(made.headers, [("Location", uri.to_owned())]);
    let again = bo.send(Post, list, location).await;
    assert_eq!((again.status, again.text("errorCode")), (409, "8251"));
    let one = bo.ok(Get, &format!("{list}/+15550100122"), "").await;
    assert!(
        one.xml.ends_with(
            "<phoneNumber countryCode=\"1\">tel:+15550100122</phoneNumber><description>Garden</description><active>true</active>\
             <broadworksCallControl>false</broadworksCallControl><useDiversionInhibitor>true</useDiversionInhibitor>\
             <answerConfirmationRequired>false</answerConfirmationRequired></BroadWorksAnywhereLocation>"
        ),
        "{}",
        one.xml
    );
    let whole = bo.ok(Get, "services/BroadWorksAnywhere", "").await;
    assert!(
        whole.xml.contains(&format!("<locations><location><locationUri>{uri}</locationUri><phoneNumber")),
        "{}",
        whole.xml
    );
    let control = "<BroadWorksAnywhereLocation><broadworksCallControl>true</broadworksCallControl></BroadWorksAnywhereLocation>";
    assert_eq!(
        bo.send(Put, &format!("{list}/tel:+15550100122"), control).await.status,
        400,
        "nothing would follow"
    );

    alice.dial("address=1001").await;
    carol.answer().await;
    let at = bo.call().await;
    let call = bo.ok(Get, &format!("calls/{at}"), "").await;
    assert!(
        call.xml.contains("<endpoint xsi1:type=\"xsi:BroadWorksAnywhereEndpoint\"><address>tel:+15550100122</address></endpoint>"),
        "{}",
        call.xml
    );
    bo.ok(Delete, &format!("calls/{at}"), "").await;
    let calls = carol.ok(Get, "calls", "").await;
    assert_eq!(calls.xml.matches("<callId>").count(), 0, "{}", calls.xml);

    let own = bo.dial("address=1000&location=BroadWorksAnywhere&locationAddress=%2B15550100122").await;
    assert_eq!(bo.ok(Get, &format!("calls/{own}"), "").await.text("personality"), "Click-to-Dial");
    carol.answer().await;
    alice.answer().await;
    assert_eq!(bo.ok(Get, &format!("calls/{own}"), "").await.text("state"), "Active");
    bo.ok(Delete, &format!("calls/{own}"), "").await;
    for (query, status) in [
        ("address=1000&location=Garden", 400),
        ("address=1000&location=BroadWorksAnywhere&locationAddress=1000", 400),
        ("address=1000&location=Mobility", 404),
        ("address=1000&location=SharedCallAppearance", 404),
    ] {
        assert_eq!(bo.send(Post, &format!("calls/new?{query}"), "").await.status, status, "{query}");
    }
    bo.ok(Delete, &format!("{list}/+15550100122"), "").await;
    assert_eq!(bo.send(Delete, &format!("{list}/+15550100122"), "").await.status, 404);
}

#[tokio::test]
async fn mobiles_stand_one_by_one_in_their_document() {
    let lab = Lab::new().await;
    let (alice, bo, carol) = (Phone::new(&lab, ALICE), Phone::new(&lab, BO), Phone::new(&lab, CAROL));
    let list = "services/BroadWorksMobility/mobileidentity";
    let identity = "<BroadWorksMobilityMobileIdentity><mobileNumber>+15550100122</mobileNumber><primary>true</primary>\
                    </BroadWorksMobilityMobileIdentity>";
    bo.ok(Post, list, identity).await;
    assert_eq!(bo.send(Post, list, identity).await.status, 409);
    let on = "<BroadWorksMobility><active>true</active><profileIdentity><profileAlertingPolicy><devicesToRing>Mobile</devicesToRing>\
              </profileAlertingPolicy></profileIdentity></BroadWorksMobility>";
    bo.ok(Put, "services/BroadWorksMobility", on).await;
    let shown = bo.ok(Get, "services/BroadWorksMobility", "").await;
    assert!(
        shown.xml.contains(
            "<profileIdentity><profileAlertingPolicy><devicesToRing>Mobile</devicesToRing><includeSharedCallAppearance>false\
             </includeSharedCallAppearance><includeBroadWorksAnywhere>true</includeBroadWorksAnywhere>\
             <includeExecutiveAssistant>false</includeExecutiveAssistant></profileAlertingPolicy></profileIdentity>\
             <mobileIdentity><mobileNumber countryCode=\"1\">tel:+15550100122</mobileNumber><enableAlerting>true</enableAlerting>\
             <primary>true</primary><identityUri>/v2.0/user/bo%40lab.example/services/BroadWorksMobility/mobileidentity/\
             %2B15550100122</identityUri></mobileIdentity></BroadWorksMobility>"
        ),
        "{}",
        shown.xml
    );
    alice.dial("address=1001").await;
    carol.answer().await;
    let call = bo.call().await;
    let call = bo.ok(Get, &format!("calls/{call}"), "").await;
    assert!(
        call.xml.contains("<endpoint xsi1:type=\"xsi:BroadWorksMobilityEndpoint\"><address>"),
        "{}",
        call.xml
    );
}

#[tokio::test]
async fn criteria_and_forwardings_have_their_documents() {
    let lab = Lab::new().await;
    let (alice, bo) = (Phone::new(&lab, ALICE), Phone::new(&lab, BO));
    let list = "services/SelectiveCallRejection/Criteria";
    let document = "<SelectiveCallRejectionCriteria><blackListed>false</blackListed><criteria><criteriaName>the boss</criteriaName>\
                    <criteriaFromDn><fromDnCriteriaSelection>Specified Only</fromDnCriteriaSelection>\
                    <phoneNumberList><phoneNumber>tel:1000</phoneNumber></phoneNumberList></criteriaFromDn></criteria>\
                    </SelectiveCallRejectionCriteria>";
    bo.ok(Post, list, document).await;
    assert_eq!(bo.send(Post, list, document).await.status, 409);
    let one = bo.ok(Get, &format!("{list}/the%20boss"), "").await;
    assert!(
        one.xml.ends_with(
            "<blackListed>false</blackListed><criteria><criteriaName>the boss</criteriaName><criteriaFromDn>\
             <fromDnCriteriaSelection>Specified Only</fromDnCriteriaSelection>\
             <includeAnonymousCallers>false</includeAnonymousCallers><includeUnavailableCallers>false</includeUnavailableCallers>\
             <phoneNumberList><phoneNumber>tel:1000</phoneNumber></phoneNumberList></criteriaFromDn></criteria>\
             </SelectiveCallRejectionCriteria>"
        ),
        "{}",
        one.xml
    );
    let call = alice.dial("address=1001").await;
    assert_eq!(alice.ok(Get, &format!("calls/{call}"), "").await.text("internalReleaseCause"), "Forbidden");
    // In short, it is switched off in the service's own document.
    let service = "services/SelectiveCallRejection";
    let off = "<SelectiveCallRejection><criteriaActivations><criteriaActivation><criteriaName>the boss</criteriaName><active>false</active>\
               </criteriaActivation></criteriaActivations></SelectiveCallRejection>";
    bo.ok(Put, service, off).await;
    let whole = bo.ok(Get, service, "").await;
    assert!(
        whole.xml.ends_with(
            "<criteriaActivations><criteriaActivation><criteriaName>the boss</criteriaName><active>false</active><uri>/v2.0/user/\
             bo%40lab.example/services/SelectiveCallRejection/Criteria/the%20boss</uri></criteriaActivation>\
             </criteriaActivations></SelectiveCallRejection>"
        ),
        "{}",
        whole.xml
    );
    assert_eq!(bo.send(Put, service, &off.replace("the boss", "nobody")).await.status, 404);
    let call = alice.dial("address=1001").await;
    assert_eq!(alice.ok(Get, &format!("calls/{call}"), "").await.text("state"), "Alerting");
    alice.ok(Delete, &format!("calls/{call}"), "").await;
    let schedule = "<SelectiveCallRejectionCriteria><criteria><timeSchedule>Nights</timeSchedule></criteria></SelectiveCallRejectionCriteria>";
    assert_eq!(bo.send(Put, &format!("{list}/the%20boss"), schedule).await.status, 400, "no such schedule");

    let rings =
        "<VoiceMessagingGreetings><noAnswerNumberOfRings>5</noAnswerNumberOfRings></VoiceMessagingGreetings>";
    bo.ok(Put, "services/VoiceMessaging/greetings", rings).await;
    assert_eq!(bo.ok(Get, "services/VoiceMessaging/greetings", "").await.text("noAnswerNumberOfRings"), "5");
    assert!(!bo.ok(Get, "services/VoiceMessaging", "").await.xml.contains("noAnswerNumberOfRings"));
    let ring = "<SimultaneousRingPersonal><active>true</active><incomingCalls>Ring for all Incoming Calls</incomingCalls><simRingLocations>\
                <simRingLocation><address>tel:1002</address><answerConfirmationRequired>false</answerConfirmationRequired>\
                </simRingLocation></simRingLocations></SimultaneousRingPersonal>";
    bo.ok(Put, "services/SimultaneousRingPersonal", ring).await;
    let shown = bo.ok(Get, "services/SimultaneousRingPersonal", "").await;
    assert!(shown.xml.contains("<simRingLocation><address>tel:1002</address>"), "{}", shown.xml);
    let cleared = "<SimultaneousRingPersonal><active>false</active><simRingLocations xsi:nil=\"true\"/></SimultaneousRingPersonal>";
    bo.ok(Put, "services/SimultaneousRingPersonal", cleared).await;
    assert!(!bo.ok(Get, "services/SimultaneousRingPersonal", "").await.xml.contains("simRingLocation"));
    let sequence = "<SequentialRing><location1><address>1002</address><numberOfRings>4</numberOfRings></location1></SequentialRing>";
    bo.ok(Put, "services/SequentialRing", sequence).await;
    let shown = bo.ok(Get, "services/SequentialRing", "").await;
    assert!(
        shown.xml.contains("<location1><address>tel:1002</address><numberOfRings>4</numberOfRings>"),
        "{}",
        shown.xml
    );
    assert_eq!(bo.send(Put, "services/SequentialRing", &sequence.replace('4', "1")).await.status, 400);
}

#[tokio::test]
async fn calls_are_parked_taken_and_told_of() {
    let lab = Lab::new().await;
    let (alice, bo, carol) = (Phone::new(&lab, ALICE), Phone::new(&lab, BO), Phone::new(&lab, CAROL));
    let mut channel = lab.open(&carol.who, CHANNEL).await;
    let subscribed = lab.events(&carol.who, Post, &format!("user/{CAROL}"), &subscription("Call Park")).await;
    assert_eq!(subscribed.status, 200, "{}", subscribed.xml);
    let (kind, xml) = channel.event(&lab.api, &carol.who).await;
    assert_eq!(kind, "CallParkedAgainstEvent");
    assert!(!xml.contains("parkedParty"), "{xml}");

    let waits = alice.dial("address=1001").await;
    let parked = bo.answer().await;
    let reply = bo.ok(Put, &format!("calls/{parked}/Park?address=1002"), "").await;
    let at =
        reply.headers.iter().find(|(name, _)| *name == "Content-Location").expect("told where").1.clone();
    // As a client takes it apart.
    assert_eq!(at.rsplit('?').next().and_then(|rest| rest.rsplit(':').next()), Some("1002"), "{at}");
    let (kind, xml) = channel.event(&lab.api, &carol.who).await;
    assert_eq!(kind, "CallParkedAgainstEvent");
    assert!(xml.contains("<xsi:parkedParty><xsi:name>Alice Ng</xsi:name>"), "{xml}");
    assert_eq!(alice.ok(Get, &format!("calls/{waits}"), "").await.text("state"), "Remote Held");
    let taken = carol.send(Post, "calls/CallParkRetrieve", "").await;
    assert_eq!(taken.status, 201, "{}", taken.xml);
    let (_, xml) = channel.event(&lab.api, &carol.who).await;
    assert!(!xml.contains("parkedParty"), "{xml}");
    assert_eq!(alice.ok(Get, &format!("calls/{waits}"), "").await.text("state"), "Active");
    let taken = taken.text("callId").to_owned();
    let group = carol.ok(Put, &format!("calls/{taken}/GroupCallPark"), "").await;
    assert!(
        group.headers.iter().any(|(name, value)| *name == "Content-Location" && value.ends_with(":1002"))
    );
    alice.ok(Delete, &format!("calls/{waits}"), "").await;

    carol.dial("address=1000").await;
    let taken = bo.send(Post, "calls/CallPickup", "").await;
    assert_eq!(taken.status, 201, "{}", taken.xml);
    assert_eq!(bo.send(Post, "calls/CallPickup", "").await.status, 404);
    assert_eq!(bo.send(Post, "calls/DirectedCallPickup?address=1000", "").await.status, 404);
    for (query, status) in [("playdtmf=12,3%23", 200), ("playdtmf=1x", 400), ("playdtmf=", 400), ("", 400)] {
        let path = format!("calls/{}/TransmitDTMF?{query}", taken.text("callId"));
        assert_eq!(bo.send(Put, &path, "").await.status, status, "{query}");
    }
}

#[tokio::test]
async fn conferences_and_recordings_are_told_of_in_order() {
    let lab = Lab::new().await;
    let (alice, bo, carol) = (Phone::new(&lab, ALICE), Phone::new(&lab, BO), Phone::new(&lab, CAROL));
    let mode = "<CallRecording><recordingMode>on-demand-user-start</recordingMode></CallRecording>";
    alice.ok(Put, "services/CallRecording", mode).await;
    let mut channel = lab.open(&alice.who, CHANNEL).await;
    lab.events(&alice.who, Post, &format!("user/{ALICE}"), &subscription("Standard Call")).await;
    let one = alice.dial("address=1001").await;
    bo.answer().await;
    alice.ok(Put, &format!("calls/{one}/Record"), "").await;
    let call = alice.ok(Get, &format!("calls/{one}"), "").await;
    assert!(
        call.xml.contains("<recorded>true</recorded><allowedRecordingControls>pause-stop</allowedRecordingControls><recordingState>Started</recordingState>"),
        "{}",
        call.xml
    );
    alice.ok(Put, &format!("calls/{one}/PauseRecording"), "").await;
    alice.ok(Put, &format!("calls/{one}/ResumeRecording"), "").await;
    alice.ok(Put, &format!("calls/{one}/StopRecording"), "").await;
    let two = alice.dial("address=1002").await;
    carol.answer().await;
    let list = format!(
        "<Conference><conferenceParticipantList><conferenceParticipant><callId>{one}</callId></conferenceParticipant>\
         <conferenceParticipant><callId>{two}</callId></conferenceParticipant></conferenceParticipantList></Conference>"
    );
    assert_eq!(alice.send(Post, "calls/Conference", &list).await.status, 201);
    assert_eq!(alice.send(Post, "calls/Conference", &list).await.status, 409);
    assert_eq!(alice.send(Post, "calls/Conference", "<Conference/>").await.status, 400);
    let calls = alice.ok(Get, "calls", "").await;
    assert_eq!(calls.xml.matches("inConference=\"true\"").count(), 2, "{}", calls.xml);
    alice.ok(Put, &format!("calls/Conference/{two}/Mute"), "").await;
    alice.ok(Put, &format!("calls/Conference/{two}/Deaf"), "").await;
    let shown = alice.ok(Get, "calls/Conference", "").await;
    assert!(
        shown.xml.contains(&format!(
            "<conferenceParticipant><callId>{two}</callId><muted/><deaf/></conferenceParticipant>"
        )),
        "{}",
        shown.xml
    );
    for path in ["Hold", "Talk", "Mute", "UnMute"] {
        alice.ok(Put, &format!("calls/Conference/{path}"), "").await;
    }
    alice.ok(Delete, &format!("calls/Conference/{two}"), "").await;
    assert_eq!(alice.send(Get, "calls/Conference", "").await.status, 404);
    alice.ok(Delete, &format!("calls/{one}"), "").await;
    let kinds = channel.until(&lab.api, &alice.who, "ConferenceReleasedEvent").await;
    let of = |part: &str| kinds.iter().filter(|kind| kind.contains(part)).cloned().collect::<Vec<_>>();
    let recording = ["Starting", "Started", "Paused", "Resumed", "Stopped"];
    assert_eq!(of("Recording"), recording.map(|kind| format!("CallRecording{kind}Event")));
    let conference =
        ["Started", "CallMuted", "CallMadeDeaf", "Held", "Retrieved", "Muted", "Unmuted", "Released"];
    assert_eq!(of("Conference"), conference.map(|kind| format!("Conference{kind}Event")));
}

#[tokio::test]
async fn agents_take_the_calls_of_a_queue_and_everybody_is_told() {
    let lab = Lab::new().await;
    let (alice, bo, carol) = (Phone::new(&lab, ALICE), Phone::new(&lab, BO), Phone::new(&lab, CAROL));
    assert_eq!(bo.send(Get, "services/CallCenter", "").await.status, 404, "not assigned");
    assert!(!bo.ok(Get, "services", "").await.xml.contains("Call Center"));
    lab.call_center(CAROL, &[BO]).await;
    assert!(bo.ok(Get, "services", "").await.xml.contains("<name>Call Center - Basic</name>"));
    let agent = bo.ok(Get, "services/CallCenter", "").await;
    assert!(
        agent.xml.ends_with(
            "<agentACDState>Sign-Out</agentACDState><callCenterList><callCenterDetails><serviceUserId>carol@lab.example</serviceUserId>\
             <available>true</available><phoneNumber>+15550100122</phoneNumber><extension>1002</extension>\
             <isLogOffAllowed>true</isLogOffAllowed></callCenterDetails></callCenterList></CallCenter>"
        ),
        "{}",
        agent.xml
    );
    let (mut agents, mut queue) = (lab.open(&bo.who, CHANNEL).await, lab.open(&carol.who, CHANNEL).await);
    lab.events(&bo.who, Post, &format!("user/{BO}"), &subscription("Call Center Agent")).await;
    lab.events(&carol.who, Post, &format!("user/{CAROL}"), &subscription("Call Center Queue")).await;
    let (kind, xml) = agents.event(&lab.api, &bo.who).await;
    assert_eq!(kind, "AgentSubscriptionEvent");
    assert!(
        xml.contains(
            "<xsi:joinInfo><xsi:acdUserId>carol@lab.example</xsi:acdUserId><xsi:joined/></xsi:joinInfo>"
        ),
        "{xml}"
    );
    assert_eq!(queue.event(&lab.api, &carol.who).await.0, "ACDSubscriptionEvent");

    let waits = alice.dial("address=1002").await;
    let (kind, xml) = queue.event(&lab.api, &carol.who).await;
    assert_eq!(kind, "ACDCallAddedEvent");
    assert!(xml.contains("</xsi:queueEntry><xsi:position>1</xsi:position>"), "{xml}");
    let listed = lab.actions(&bo.who, Get, &format!("callcenter/{CAROL}/calls"), "").await;
    assert_eq!((listed.status, listed.text("callId")), (200, waits.as_str()), "{}", listed.xml);
    assert_eq!(lab.actions(&alice.who, Get, &format!("callcenter/{CAROL}/calls"), "").await.status, 403);
    let profile = lab.actions(&bo.who, Get, &format!("callcenter/{CAROL}/profile"), "").await;
    assert_eq!(profile.text("name"), "Carol Øst", "{}", profile.xml);

    let state = |text: &str| format!("<CallCenter><agentACDState>{text}</agentACDState></CallCenter>");
    assert_eq!(bo.send(Put, "services/CallCenter", &state("Asleep")).await.status, 400);
    let guard = "<CallCenter><enableGuardTimer>true</enableGuardTimer></CallCenter>";
    assert_eq!(bo.send(Put, "services/CallCenter", guard).await.status, 400, "nothing would follow");
    bo.ok(Put, "services/CallCenter", &state("Available")).await;
    let (kind, xml) = agents.event(&lab.api, &bo.who).await;
    assert_eq!((kind.as_str(), crate::lab::text(&xml, "xsi:state")), ("AgentStateEvent", "Available"));
    assert_eq!(queue.event(&lab.api, &carol.who).await.0, "ACDCallOfferedToAgentEvent");
    let call = bo.answer().await;
    let (kind, xml) = queue.event(&lab.api, &carol.who).await;
    assert_eq!(kind, "ACDCallAnsweredByAgentEvent");
    assert!(xml.contains("<xsi:answeringUserId>bo@lab.example</xsi:answeringUserId>"), "{xml}");
    let shown = bo.ok(Get, &format!("calls/{call}"), "").await;
    assert!(
        shown
            .xml
            .contains("<acdCallInfo><acdUserId>carol@lab.example</acdUserId><acdName>Carol Øst</acdName>"),
        "{}",
        shown.xml
    );
    alice.ok(Delete, &format!("calls/{waits}"), "").await;
    let leave = "<CallCenter><callCenterList><callCenterDetails><serviceUserId>carol@lab.example</serviceUserId>\
                 <available>false</available></callCenterDetails></callCenterList></CallCenter>";
    bo.ok(Put, "services/CallCenter", leave).await;
    let kinds = agents.until(&lab.api, &bo.who, "ACDAgentJoinUpdateEvent").await;
    assert!(!kinds.is_empty());

    let codes = lab
        .actions(&bo.who, Get, "group/north/services/callcenter/unavailablecodes?enterpriseId=acme", "")
        .await;
    assert!(
        codes.xml.contains("<unavailableCodeDetail isDefault=\"false\"><active>true</active><code>10</code>"),
        "{}",
        codes.xml
    );
    for (path, status) in [
        ("group/south/services/callcenter/unavailablecodes", 403),
        ("group/north/services/callcenter/unavailablecodes?enterpriseId=other", 403),
        ("callcenter/nobody@lab.example/profile", 403),
    ] {
        assert_eq!(lab.actions(&bo.who, Get, path, "").await.status, status, "{path}");
    }
}
