//! Settings of every process.

use openadp_settings::{Context, Kind, Module, Parameter, Secret, Settings, Tree, Unused, context};

context! {
    /// What every process logs. Log lines go to the standard error stream.
    pub struct LogSettings = Context::single(Tree::Adp, "System/Logging") => {
        /// The least severe lines that are logged. A process that was started with --log-level keeps that one.
        pub level: String =
            Parameter::new("level", Kind::Choice(&["error", "warn", "info", "debug", "trace"])).default("info");
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
        crate::AlarmMonitoring::CONTEXT,
        crate::AlarmsTable::CONTEXT,
        crate::admin::RoleSettings::CONTEXT,
    ])
    .checks(&[crate::managed::check]);
