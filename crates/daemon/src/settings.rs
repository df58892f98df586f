//! Settings of every process.

use crate::logging::CONTEXTS as CHANNELS;
use crate::monitoring::COMPONENTS;
use openadp_settings::{Context, Kind, Module, Parameter, Secret, Settings, Tree, Unused, context};

context! {
    /// What every process logs, and whether to the standard error stream; InputChannels have severities of their own, and
    /// OutputChannels send lines elsewhere too.
    pub struct LogSettings = Context::single(Tree::Adp, "System/Logging") => {
        /// The least severe lines that are logged. A process that was started with --log-level keeps that one. A channel
        /// with a severity of its own has that.
        pub level: String =
            Parameter::new("level", Kind::Choice(&["error", "warn", "info", "debug", "trace"])).default("info");
        /// Whether lines go to the standard error stream.
        pub standard_error: bool = Parameter::new("standardError", Kind::Boolean).default("true");
    }
}

context! {
    /// The SNMP agent. This build has none: counters and alarms are read as metrics, at the prompt and in the log.
    pub struct SnmpAgent = Context::single(Tree::Adp, "Interface/SNMP/Agent") => {
        /// Port of the agent.
        pub port: u16 = Parameter::new("port", Kind::integer(1, 65_535)).default("8001").unused(Unused::Never);
        /// How texts are encoded.
        pub encoding: String = Parameter::new("encoding", Kind::Choice(&["ISO-8859-1", "UTF-8"]))
            .default("ISO-8859-1").unused(Unused::Never);
        /// Community that may read.
        pub read_community: Secret =
            Parameter::new("readCommunity", Kind::secret(80)).default("public").unused(Unused::Never);
        /// Community that may write.
        pub write_community: Secret =
            Parameter::new("writeCommunity", Kind::secret(80)).default("public").unused(Unused::Never);
        /// Community of traps.
        pub trap_community: Secret =
            Parameter::new("trapCommunity", Kind::secret(80)).default("public").unused(Unused::Never);
        /// Address that traps come from.
        pub trap_source_address: Option<std::net::IpAddr> =
            Parameter::new("trapSourceAddress", Kind::IpAddress).unused(Unused::Never);
        /// Whether version 2 of the protocol is refused.
        pub disable_v2: bool =
            Parameter::new("disableV2", Kind::Boolean).default("false").unused(Unused::Never);
        /// Whether the tables of the host's resources are offered.
        pub host_mib_ii: bool =
            Parameter::new("hostMibII", Kind::Boolean).default("false").unused(Unused::Never);
    }
}

/// All contexts of this crate.
pub const MODULE: Module = Module::new("daemon")
    .contexts(&[
        LogSettings::CONTEXT,
        SnmpAgent::CONTEXT,
        crate::ManagedObjects::CONTEXT,
        crate::ArchiveLimits::CONTEXT,
        crate::NodeLock::CONTEXT,
        crate::AlarmMonitoring::CONTEXT,
        crate::AlarmsTable::CONTEXT,
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
    .checks(&[crate::managed::check, crate::logging::check]);
