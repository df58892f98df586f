//! DMS: device configuration files.
