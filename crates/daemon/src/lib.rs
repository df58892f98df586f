//! Everything a main() needs: flags, telemetry, signals, readiness, admin socket, drain, exit codes.
