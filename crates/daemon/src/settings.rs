//! Settings of every process.

use crate::logging::CONTEXTS as CHANNELS;
use crate::monitoring::COMPONENTS;
use openadp_settings::{
    Context, Kind, Module, Parameter, Problem, Secret, Settings, Snapshot, Tree, Unused, context,
};

context! {
    /// What every process logs, and whether to the standard error stream; InputChannels have severities of their own, and
    /// OutputChannels send lines elsewhere too.
    pub struct LogSettings = Context::single(Tree::Adp, "System/Logging") => {
        /// The least severe lines that are logged. A process that was started with --log-level keeps that one. A channel
        /// with a severity of its own has that.
        pub level: String =
            Parameter::new("level", Kind::Choice(&["error", "warn", "notice", "info", "debug", "trace"]))
                .default("info");
        /// Whether lines go to the standard error stream.
        pub standard_error: bool = Parameter::new("standardError", Kind::Boolean).default("true");
    }
}

/// Most destinations of traps.
const MOST_DESTINATIONS: usize = 16;

context! {
    /// SNMP. Alarms are sent as traps of version 2c to TrapDestinations, in the terms of the Alarm MIB (RFC 3877). This build
    /// has no agent that could be asked: counters are read as metrics and at the prompt.
    pub struct SnmpAgent = Context::single(Tree::Adp, "Interface/SNMP/Agent") => {
        /// Port of the agent.
        pub port: u16 = Parameter::new("port", Kind::integer(1, 65_535)).default("8001").unused(Unused::Never);
        /// How texts are encoded. What ISO-8859-1 cannot hold is a question mark.
        pub encoding: String = Parameter::new("encoding", Kind::Choice(&["ISO-8859-1", "UTF-8"]))
            .default("ISO-8859-1");
        /// Community that may read.
        pub read_community: Secret =
            Parameter::new("readCommunity", Kind::secret(80)).default("public").unused(Unused::Never);
        /// Community that may write.
        pub write_community: Secret =
            Parameter::new("writeCommunity", Kind::secret(80)).default("public").unused(Unused::Never);
        /// Community of traps.
        pub trap_community: Secret = Parameter::new("trapCommunity", Kind::secret(80)).default("public");
        /// Address that traps come from; that of the way to the destination where none is set.
        pub trap_source_address: Option<std::net::IpAddr> = Parameter::new("trapSourceAddress", Kind::IpAddress);
        /// Whether version 2 of the protocol is switched off. There is no other here: no traps are sent then.
        pub disable_v2: bool = Parameter::new("disableV2", Kind::Boolean).default("false");
        /// Whether what MIB-II has of the host is told too: its name (sysName), with each trap.
        pub host_mib_ii: bool = Parameter::new("hostMibII", Kind::Boolean).default("false");
    }
}

context! {
    /// Who is told of alarms by traps: each that is raised, changed, cleared or reported in any process.
    pub struct TrapDestination = Context::table(Tree::Adp, "Interface/SNMP/Agent/TrapDestinations")
        .without(&["set"]) => {
        /// Address of the receiver.
        pub address: std::net::IpAddr = Parameter::new("address", Kind::IpAddress).header("Address").key().left();
        /// Its UDP port, 162 as a rule.
        pub port: u16 = Parameter::new("port", Kind::integer(1, 65_535)).header("Port").key();
    }
}

/// A trap is sent to each of them while the next waits.
fn few_destinations(snapshot: &Snapshot) -> Vec<Problem> {
    if snapshot.rows_of(TrapDestination::CONTEXT).len() <= MOST_DESTINATIONS {
        return Vec::new();
    }
    let reason = format!("there may be {MOST_DESTINATIONS} destinations at most");
    vec![Problem::new(TrapDestination::CONTEXT.full_path(), reason)]
}

/// All contexts of this crate.
pub const MODULE: Module = Module::new("daemon")
    .contexts(&[
        LogSettings::CONTEXT,
        SnmpAgent::CONTEXT,
        TrapDestination::CONTEXT,
        crate::ManagedObjects::CONTEXT,
        crate::ArchiveLimits::CONTEXT,
        crate::NodeLock::CONTEXT,
        crate::ScheduleEntry::CONTEXT,
        crate::TaskSettings::CONTEXT,
        crate::Tools::CONTEXT,
        crate::Patching::CONTEXT,
        crate::Licensing::CONTEXT,
        crate::LicenseFile::CONTEXT,
        crate::CapProxy::CONTEXT,
        crate::OciProxy::CONTEXT,
        crate::NetworkServer::CONTEXT,
        crate::AlarmMonitoring::CONTEXT,
        crate::AlarmsTable::CONTEXT,
        crate::Report::CONTEXT,
        crate::admin::RoleSettings::CONTEXT,
        COMPONENTS[0],
        COMPONENTS[1],
        COMPONENTS[2],
        COMPONENTS[3],
        COMPONENTS[4],
        COMPONENTS[5],
        COMPONENTS[6],
        COMPONENTS[7],
        COMPONENTS[8],
        CHANNELS[0],
        CHANNELS[1],
        CHANNELS[2],
        CHANNELS[3],
        CHANNELS[4],
        CHANNELS[5],
        CHANNELS[6],
        CHANNELS[7],
        CHANNELS[8],
        CHANNELS[9],
        CHANNELS[10],
    ])
    .checks(&[crate::managed::check, crate::logging::check, few_destinations, crate::scheduler::check]);
