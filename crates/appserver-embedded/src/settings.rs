//! What operators set about the application server: the contexts of the `AS_CLI` tree that exist already and those of the
//! embedded engine. `System/ClientIdentity` belongs to the CTI server.

use crate::{management, tree};
use openadp_settings::{Context, Kind, Module, Parameter, Secret, Settings as _, Tree, context};

context! {
    /// Where the application server sends push notifications (nps.md section 2).
    pub struct NotificationPushServer = Context::single(Tree::As, "System/NotificationPushServer") => {
        /// Base URL of the NotificationPushServer application, https://push.example.net/nps say. Nothing is pushed while unset.
        pub url: Option<String> = Parameter::new("url", Kind::Url(&["https", "http"]));
        /// Secret that proves to the push server who asks; sent in the header X-NPS-Secret.
        pub shared_secret: Secret = Parameter::new("sharedSecret", Kind::secret(256));
    }
}

context! {
    /// Rules for push registrations and call pushes (nps.md section 3).
    pub struct PushNotification = Context::single(Tree::As, "System/PushNotification") => {
        /// Whether only the applications below AllowedApplications may register.
        pub enforce_allowed_application_list: bool =
            Parameter::new("enforceAllowedApplicationList", Kind::Boolean).default("false");
        /// How long a call push is worth delivering.
        pub new_call_timeout: u32 = Parameter::new("newCallTimeout", Kind::integer(30, 600)).default("35").unit("seconds");
        /// Most registrations of one subscriber.
        pub maximum_registrations_per_user: u32 =
            Parameter::new("maximumRegistrationsPerUser", Kind::integer(1, 100)).default("10");
        /// Age at which a registration that was not renewed is dropped.
        pub maximum_registration_age_days: u32 =
            Parameter::new("maximumRegistrationAgeDays", Kind::integer(30, 120)).default("90").unit("days");
    }
}

context! {
    /// Applications that may register for pushes while the list is enforced.
    pub struct AllowedApplication = Context::table(Tree::As, "System/PushNotification/AllowedApplications") => {
        /// Id of the application, com.cisco.squared say.
        pub application_id: String = Parameter::new("applicationId", Kind::text(1, 2048)).header("Application Id").key().left();
        /// What it is.
        pub description: String = Parameter::new("description", Kind::text(0, 80)).header("Description").mandatory().left();
    }
}

context! {
    /// Where devices find their files: the public face of the DMS application (dms.md section 2).
    pub struct DeviceAccess = Context::single(Tree::As, "System/DeviceAccess") => {
        /// Scheme of the URLs that devices are given.
        pub protocol: String = Parameter::new("deviceAccessProtocol", Kind::Choice(&["https", "http"])).default("https");
        /// Host of the URLs; without one, devices are given no URL.
        pub fqdn: Option<String> = Parameter::new("deviceAccessFQDN", Kind::Host);
        /// Port of the URLs.
        pub port: Option<u16> = Parameter::new("deviceAccessPort", Kind::integer(1, 65_535));
        /// Context of the DMS application.
        pub context_name: String = Parameter::new("deviceAccessContextName", Kind::text(1, 80)).default("dms");
        /// Whether subscribers may read the user names and passwords of their devices over Xsi.
        pub allow_credential_read_out: bool =
            Parameter::new("allowCredentialReadOut", Kind::Boolean).default("false");
    }
}

context! {
    /// Limits of the embedded call engine.
    pub struct CallEngine = Context::single(Tree::As, "System/CallEngine") => {
        /// How long a call rings at somebody who does not answer and has no forwarding.
        pub no_answer_timeout: u32 =
            Parameter::new("noAnswerTimeoutInSeconds", Kind::integer(5, 600)).default("60").unit("seconds");
        /// Length of one ring, in which forwarding counts.
        pub ring_length: u32 = Parameter::new("ringLengthInSeconds", Kind::integer(1, 10)).default("6").unit("seconds");
        /// How long a parked call waits until it rings again at who parked it.
        pub park_recall: u32 =
            Parameter::new("parkRecallTimeoutInSeconds", Kind::integer(5, 600)).default("45").unit("seconds");
        /// Most calls of one subscriber at a time; further callers get busy.
        pub maximum_calls_per_user: u32 = Parameter::new("maximumCallsPerUser", Kind::integer(1, 50)).default("6");
        /// Most forwardings that one call follows.
        pub maximum_redirections: u32 = Parameter::new("maximumRedirections", Kind::integer(0, 20)).default("5");
        /// How long a released call can still be asked for.
        pub released_call_retention: u32 =
            Parameter::new("releasedCallRetentionInSeconds", Kind::integer(1, 600)).default("30").unit("seconds");
        /// Most entries of each of a subscriber's call logs; the oldest go first.
        pub maximum_call_log_entries: u32 =
            Parameter::new("maximumCallLogEntries", Kind::integer(10, 1_000)).default("100");
    }
}

context! {
    /// How somebody may say who signs in, beside the whole user id.
    pub struct SignIn = Context::single(Tree::As, "System/SignIn") => {
        /// Domain of user ids that are typed without one, bw.example.net say.
        pub default_domain: Option<String> = Parameter::new("defaultDomain", Kind::Host);
        /// Time for which a single-use login token is good.
        pub token_seconds: u32 =
            Parameter::new("loginTokenValidityInSeconds", Kind::integer(10, 300)).default("60").unit("seconds");
        /// Most login tokens of one user that are not used yet.
        pub maximum_tokens: u32 =
            Parameter::new("maximumLoginTokensPerUser", Kind::integer(1, 1_000)).default("50");
    }
}

context! {
    /// Bounds of directories.
    pub struct DirectoryLimits = Context::single(Tree::As, "System/Directories") => {
        /// Most entries of one phone list, whosever it is.
        pub maximum_phone_list_entries: u32 =
            Parameter::new("maximumPhoneListEntries", Kind::integer(1, 200_000)).default("30000").unit("entries");
    }
}

context! {
    /// Bounds of mailboxes.
    pub struct MailboxLimits = Context::single(Tree::As, "Service/VoiceMsg/Mailbox") => {
        /// Most messages of one mailbox; who calls then cannot leave another.
        pub maximum_messages: u32 =
            Parameter::new("maximumMessages", Kind::integer(1, 1_000)).default("100").unit("messages");
        /// Most bytes of one message's recording. WAV as it is made here has 8000 a second.
        pub maximum_message_bytes: usize =
            Parameter::new("maximumMessageBytes", Kind::integer(1_000, 16_000_000)).default("2000000").unit("bytes");
    }
}

context! {
    /// How long the ordered event feed keeps events for readers that fell behind.
    pub struct EventRetention = Context::single(Tree::As, "System/EventFeed") => {
        /// Age at which events are discarded.
        pub retention: u32 =
            Parameter::new("retentionInSeconds", Kind::integer(10, 86_400)).default("900").unit("seconds");
        /// Most events that are kept.
        pub maximum_events: u32 =
            Parameter::new("maximumEvents", Kind::integer(1_000, 10_000_000)).default("200000");
    }
}

context! {
    /// Limits of event channels and subscriptions.
    pub struct EventLimits = Context::single(Tree::As, "System/EventSubscriptions") => {
        /// Most channels of one owner.
        pub maximum_channels_per_owner: u32 =
            Parameter::new("maximumChannelsPerOwner", Kind::integer(1, 10_000)).default("100");
        /// Most channels in all.
        pub maximum_channels: u32 = Parameter::new("maximumChannels", Kind::integer(1, 1_000_000)).default("100000");
        /// Most subscriptions of one owner.
        pub maximum_subscriptions_per_owner: u32 =
            Parameter::new("maximumSubscriptionsPerOwner", Kind::integer(1, 1_000_000)).default("10000");
        /// Most subscriptions in all.
        pub maximum_subscriptions: u32 =
            Parameter::new("maximumSubscriptions", Kind::integer(1, 10_000_000)).default("500000");
    }
}

context! {
    /// Rules for web passwords.
    pub struct PasswordRules = Context::single(Tree::As, "System/PasswordRules") => {
        /// Wrong passwords in a row after which an account is locked; 0 never locks.
        pub maximum_failed_logins: u32 = Parameter::new("maxFailedLoginAttempts", Kind::integer(0, 10)).default("0");
        /// How long it is locked.
        pub lockout: u32 =
            Parameter::new("lockoutInSeconds", Kind::integer(10, 86_400)).default("300").unit("seconds");
        /// How long a verified password is taken for good without hashing it again; a changed password counts at once.
        pub verified_cache: u32 =
            Parameter::new("verifiedCacheInSeconds", Kind::integer(0, 3_600)).default("600").unit("seconds");
        /// Whether a login with an expired password is refused.
        pub enforce_change_on_expiry: bool =
            Parameter::new("enforcePasswordChangeOnExpiry", Kind::Boolean).default("false");
    }
}

/// All contexts of the embedded application server.
pub const MODULE: Module = Module::new("appserver-embedded")
    .contexts(&[
        crate::Calls::CONTEXT,
        crate::Channels::CONTEXT,
        crate::ChannelSets::CONTEXT,
        crate::Subscriptions::CONTEXT,
        crate::Events::CONTEXT,
        NotificationPushServer::CONTEXT,
        PushNotification::CONTEXT,
        AllowedApplication::CONTEXT,
        DeviceAccess::CONTEXT,
        CallEngine::CONTEXT,
        DirectoryLimits::CONTEXT,
        MailboxLimits::CONTEXT,
        EventRetention::CONTEXT,
        EventLimits::CONTEXT,
        PasswordRules::CONTEXT,
        crate::revocation::LongLivedTokens::CONTEXT,
        SignIn::CONTEXT,
        tree::DeviceType::CONTEXT,
        tree::ActivatableFeature::CONTEXT,
        tree::OciAccess::CONTEXT,
        tree::OverloadControls::CONTEXT,
        tree::Registration::CONTEXT,
        tree::StirShaken::CONTEXT,
        tree::Messaging::CONTEXT,
        tree::Sip::CONTEXT,
        tree::Ims::CONTEXT,
        tree::Das::CONTEXT,
        tree::IntegratedImp::CONTEXT,
        tree::IntegratedImpDefaults::CONTEXT,
        tree::VoiceMessaging::CONTEXT,
        tree::Dns::CONTEXT,
        tree::DnsExecution::CONTEXT,
        tree::DnsProvisioning::CONTEXT,
        crate::ProxyRule::CONTEXT,
        crate::HeaderPolicy::CONTEXT,
        crate::OptionTagPolicy::CONTEXT,
        management::Administrators::CONTEXT,
        management::CallCenters::CONTEXT,
        management::Contacts::CONTEXT,
        management::CustomDirectories::CONTEXT,
        management::Diag::CONTEXT,
        management::Groups::CONTEXT,
        management::IpDeviceMgmt::CONTEXT,
        management::PhoneLists::CONTEXT,
        management::ServiceProviders::CONTEXT,
        management::Users::CONTEXT,
        management::VoiceMail::CONTEXT,
    ])
    .checks(&[tree::check, crate::proxy_policy::check]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_declarations_hold() {
        let registry = openadp_settings::Registry::new([MODULE]).expect("declared well");
        let store = openadp_settings::Store::in_memory(registry);
        assert_eq!(store.get::<NotificationPushServer>().url, None);
        assert_eq!(store.get::<CallEngine>().no_answer_timeout, 60);
        assert!(store.rows::<AllowedApplication>().is_empty());
        assert_eq!(store.get::<DeviceAccess>().context_name, "dms");
    }
}
