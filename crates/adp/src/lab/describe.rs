//! The lab for scripts (`--describe`, one JSON object) and for people (what `adp lab` prints).

use super::plan::{LOOPBACK, Plan};
use super::seed::Seed;
use serde_json::{Value, json};
use std::path::Path;

/// The JSON object of `--describe`.
pub(crate) fn json(plan: &Plan, seed: &Seed) -> Value {
    let ports = plan.ports;
    let certificates = plan.certificates();
    json!({
        "data_dir": plan.data_dir,
        "ca": certificates.join("ca.crt"),
        "auth_service": Plan::https(ports.https, "/authService"),
        "xsi_actions": Plan::https(ports.https, "/com.broadsoft.xsi-actions"),
        "xsi_events": Plan::https(ports.https, "/com.broadsoft.xsi-events"),
        "dms": Plan::https(ports.https, "/dms"),
        "nps": Plan::https(ports.nps, "/nps"),
        "metrics": format!("http://{LOOPBACK}:{}/metrics", ports.metrics),
        "cti": {
            "host": LOOPBACK,
            "port": ports.cti,
            "tls_port": ports.cti_tls,
            "client_cert": certificates.join("cti-client.crt"),
            "client_key": certificates.join("cti-client.key"),
        },
        "identity_cloud": {
            "url": Plan::https(ports.identity, ""),
            "tokens": Plan::https(ports.identity, "/stand-in/tokens"),
            "faults": Plan::https(ports.identity, "/stand-in/faults"),
            "issuer": super::identity::ISSUER,
        },
        "subscribers": seed.subscribers,
        "administrators": seed.administrators,
    })
}

/// URLs, accounts and a command for each step.
pub(crate) fn text(plan: &Plan, seed: &Seed, adpcli: &Path) -> String {
    let ports = plan.ports;
    let ca = plan.certificates().join("ca.crt");
    let ca = ca.display();
    let certificates = plan.certificates();
    let data_dir = plan.data_dir.display();
    let actions = Plan::https(ports.https, "/com.broadsoft.xsi-actions");
    let events = Plan::https(ports.https, "/com.broadsoft.xsi-events");
    let stream = Plan::https(ports.https, "/com.broadsoft.async/com.broadsoft.xsi-events");
    let auth = Plan::https(ports.https, "/authService");
    let dms = Plan::https(ports.https, "/dms");
    let nps = Plan::https(ports.nps, "/nps");
    let cli = adpcli.display();
    let mut out = String::new();
    let mut line = |text: std::fmt::Arguments<'_>| {
        out.push_str(&text.to_string());
        out.push('\n');
    };

    line(format_args!("OpenADP lab in {data_dir}"));
    line(format_args!(""));
    line(format_args!("  AuthenticationService   {auth}"));
    line(format_args!("  Xsi-Actions             {actions}"));
    line(format_args!("  Xsi-Events              {events}"));
    line(format_args!(
        "  CTI                     {LOOPBACK}:{} (clear), {LOOPBACK}:{} (mutual TLS)",
        ports.cti, ports.cti_tls
    ));
    line(format_args!("  DMS                     {dms}"));
    line(format_args!("  NotificationPushServer  {nps}"));
    line(format_args!("  Identity cloud          {} (a stand-in)", Plan::https(ports.identity, "")));
    line(format_args!("  Metrics                 http://{LOOPBACK}:{}/metrics", ports.metrics));
    line(format_args!("  Lab authority           {ca}"));
    line(format_args!(""));
    line(format_args!("Subscribers (the passwords are made up for this lab):"));
    for s in &seed.subscribers {
        line(format_args!("  {:<32} {}  {}  {}  {}", s.user_id, s.password, s.number, s.extension, s.group));
    }
    line(format_args!("Administrators:"));
    for a in &seed.administrators {
        line(format_args!("  {:<32} {}  {}", a.user_id, a.password, a.level));
    }
    let [alice, bo, ..] = seed.subscribers.as_slice() else { return out };
    let (au, ap, bu, bp, bx) = (&alice.user_id, &alice.password, &bo.user_id, &bo.password, &bo.extension);
    line(format_args!(""));
    line(format_args!("Try it (each line can be pasted into a shell):"));
    line(format_args!(""));
    line(format_args!(
        "# 1. Sign in: a key pair, then a long-lived token that only its private half can unwrap"
    ));
    line(format_args!(
        "openssl genrsa -out /tmp/lab.key 2048 2>/dev/null; KEY=$(openssl rsa -in /tmp/lab.key -pubout -outform DER 2>/dev/null | openssl base64 -A | tr '+/' '-_' | tr -d =)"
    ));
    line(format_args!("curl --cacert {ca} -u {au}:{ap} \"{auth}/token?key=$KEY\""));
    line(format_args!("# 2. Use it (Basic credentials work too)"));
    line(format_args!("curl --cacert {ca} -u {au}:{ap} '{actions}/v2.0/user/{au}/profile?format=json'"));
    line(format_args!("# 3. Listen: a channel (leave it running), then in another shell a subscription"));
    line(format_args!(
        "curl -N --cacert {ca} -u {bu}:{bp} -d '<Channel xmlns=\"http://schema.broadsoft.com/xsi\"><channelSetId>my-set</channelSetId></Channel>' {stream}/v2.0/channel"
    ));
    line(format_args!(
        "curl --cacert {ca} -u {bu}:{bp} -d '<Subscription xmlns=\"http://schema.broadsoft.com/xsi\"><event>Advanced Call</event><channelSetId>my-set</channelSetId></Subscription>' {events}/v2.0/user/{bu}"
    ));
    line(format_args!("# 4. Call; 7. the push stand-ins print here what they got"));
    line(format_args!(
        "curl --cacert {ca} -u {au}:{ap} -X POST '{actions}/v2.0/user/{au}/calls/new?address={bx}'"
    ));
    line(format_args!("curl --cacert {ca} -u {bu}:{bp} {actions}/v2.0/user/{bu}/calls"));
    line(format_args!("curl --cacert {ca} -u {bu}:{bp} -X PUT {actions}/v2.0/user/{bu}/calls/CALLID/Talk"));
    line(format_args!("# 5. Watch over CTI: type requests as in docs/cti.md"));
    line(format_args!(
        "openssl s_client -quiet -connect {LOOPBACK}:{} -CAfile {ca} -cert {} -key {}",
        ports.cti_tls,
        certificates.join("cti-client.crt").display(),
        certificates.join("cti-client.key").display()
    ));
    line(format_args!("# 6. Configure: where the files are and who may read them, then the file"));
    line(format_args!("curl --cacert {ca} -u {au}:{ap} {actions}/v2.0/user/{au}/profile/device"));
    line(format_args!("curl --cacert {ca} -u DEVICEUSER:DEVICEPASSWORD {dms}/bc/pc/config-wxt.xml"));
    line(format_args!(
        "# Sign in with an identity of the cloud: its access token (here from the stand-in, which asks nobody for a password) in exchange for a long-lived one"
    ));
    line(format_args!(
        "CI=$(curl -s --cacert {ca} -d user={au} {} | cut -d '\"' -f 4)",
        Plan::https(ports.identity, "/stand-in/tokens")
    ));
    line(format_args!("curl --cacert {ca} -H \"Authorization: Bearer $CI\" \"{auth}/token?key=$KEY\""));
    line(format_args!("# 8. Administer"));
    line(format_args!("{cli} --data-dir {data_dir}"));
    line(format_args!(
        "{cli} --data-dir {data_dir} -c 'ADP_CLI/Applications/AuthenticationService/TokenManagement> set tokenDurationInHours 24'"
    ));
    out
}
