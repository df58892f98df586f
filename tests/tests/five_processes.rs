//! The eight steps with a process for each application, and two for Xsi: a call that is dialled through one is answered
//! through the other. All share one data directory.

#[path = "steps/mod.rs"]
mod steps;

use anyhow::Result;
use openadp_suite::{Lab, Running, binary};
use std::process::Command;

struct Processes {
    lab: Lab,
    all: Vec<Running>,
    ports: Ports,
}

struct Ports {
    auth: u16,
    xsi: u16,
    second_xsi: u16,
    dms: u16,
}

impl Processes {
    fn start() -> Result<Self> {
        let lab = Lab::seed()?;
        let base = lab.port_base();
        let ports = Ports { auth: base, xsi: base + 17, second_xsi: base + 9, dms: base + 10 };
        // An interface for each process; the certificate is the one that the lab's authority gave.
        let folder = lab.data_dir.join("lab/certificates");
        let folder = folder.display();
        for port in [ports.xsi, ports.second_xsi, ports.dms] {
            lab.administer(&[
                &format!("ADP_CLI/Interface/Http/HttpServer> add 127.0.0.1 {port} localhost true false"),
                &format!("ADP_CLI/Interface/Http/HttpServer/SSLSettings/Certificates> sslUpdate 127.0.0.1 {port} keyFile {folder}/server-rsa.key certificateFile {folder}/server-rsa.crt chainFile {folder}/ca.crt"),
            ])?;
        }
        lab.administer(&[&format!("AS_CLI/System/DeviceAccess> set deviceAccessPort {}", ports.dms)])?;
        let mut all = Vec::new();
        let mut stand_ins = Command::new(binary("adp"));
        stand_ins.arg("stand-ins").arg("--data-dir").arg(&lab.data_dir);
        let stand_ins = Running::start(stand_ins)?;
        stand_ins.wait_for("stand-ins are ready")?;
        all.push(stand_ins);
        for (name, port, metrics) in [
            ("authservice", ports.auth, base + 11),
            ("xsi", ports.xsi, base + 12),
            ("xsi", ports.second_xsi, base + 13),
            ("cti", base + 2, base + 14),
            ("dms", ports.dms, base + 15),
            ("nps", base + 3, base + 16),
        ] {
            let mut command = Command::new(binary(name));
            command.arg("--data-dir").arg(&lab.data_dir).args([
                "--interface",
                &format!("127.0.0.1:{port}"),
                "--metrics",
                &format!("127.0.0.1:{metrics}"),
            ]);
            let running = Running::start(command)?;
            running.wait_for("ready")?;
            all.push(running);
        }
        Ok(Self { lab, all, ports })
    }

    fn hosts(&self) -> steps::Hosts<'_> {
        let url = |port: u16, path: &str| format!("https://127.0.0.1:{port}{path}");
        let mut hosts = steps::Hosts::of(&self.lab);
        hosts.auth_service = url(self.ports.auth, "/authService");
        hosts.xsi_actions = url(self.ports.xsi, "/com.broadsoft.xsi-actions");
        hosts.second_xsi_actions = url(self.ports.second_xsi, "/com.broadsoft.xsi-actions");
        hosts.xsi_events = url(self.ports.xsi, "/com.broadsoft.xsi-events");
        hosts.dms = url(self.ports.dms, "/dms");
        hosts.https = ("127.0.0.1".to_owned(), self.ports.auth);
        hosts
    }
}

#[test]
fn the_steps_pass_with_a_process_for_each_application() -> Result<()> {
    let processes = Processes::start()?;
    let hosts = processes.hosts();
    let token = steps::sign_in(&hosts)?;
    steps::use_token(&hosts, &token)?;
    steps::listen(&hosts)?;
    steps::call(&hosts)?;
    steps::order(&hosts)?;
    steps::watch_over_cti(&hosts)?;
    steps::configure(&hosts)?;
    steps::dial(&hosts, 4, 5)?;
    let stand_ins = &processes.all[0];
    stand_ins.wait_for_all(&["APNs stand-in answered 200: voip", "FCM stand-in answered 200: project"])?;
    steps::administer(&hosts)
}

#[test]
fn a_subscription_made_in_one_process_delivers_to_a_channel_in_another() -> Result<()> {
    let processes = Processes::start()?;
    let hosts = processes.hosts();
    let alice = processes.lab.subscriber(0);
    let curl = processes.lab.curl(&alice);
    let channel = openadp_suite::EventChannel::open(&curl, &hosts.xsi_events, "far")?;
    let second_events = hosts.second_xsi_actions.replace("xsi-actions", "xsi-events");
    curl.clone()
        .body("<Subscription xmlns=\"http://schema.broadsoft.com/xsi\"><event>Do Not Disturb</event><channelSetId>far</channelSetId></Subscription>")
        .post(&format!("{second_events}/v2.0/user/{}", alice.user_id))?
        .expect_status(200)?;
    channel.wait_for("DoNotDisturbEvent")?;
    curl.body("<DoNotDisturb xmlns=\"http://schema.broadsoft.com/xsi\"><active>true</active></DoNotDisturb>")
        .put(&format!("{}/v2.0/user/{}/services/DoNotDisturb", hosts.second_xsi_actions, alice.user_id))?
        .expect_status(200)?;
    let event = channel.wait_for("DoNotDisturbEvent")?;
    assert_eq!(event.text_of("xsi:active"), Some("true"), "{event:?}");
    Ok(())
}
