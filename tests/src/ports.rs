//! Blocks of free ports, so that tests that start whole labs run side by side.

use anyhow::{Context as _, Result, bail};
use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};

/// Ports of a block.
const BLOCK: u16 = 24;

/// A block of ports that no other test uses while this value lives.
pub struct PortBlock {
    base: u16,
    _lock: File,
}

impl PortBlock {
    /// Reserves a block: an exclusive lock on a file named after it, and every port free when asked.
    ///
    /// # Errors
    /// When no block is free.
    pub fn reserve() -> Result<Self> {
        let folder = std::env::temp_dir().join("openadp-test-ports");
        std::fs::create_dir_all(&folder).context("making the folder of port locks")?;
        // Below the range from which the kernel takes ports for outgoing connections.
        let first = 12_000_u16;
        let blocks = (32_000 - first) / BLOCK;
        let start = u16::try_from(std::process::id() % u32::from(blocks)).unwrap_or(0);
        for step in 0..blocks {
            let base = first + ((start + step) % blocks) * BLOCK;
            let lock = File::create(folder.join(base.to_string())).context("making a port lock")?;
            if lock.try_lock().is_err() {
                continue;
            }
            let free =
                (base..base + BLOCK).all(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok());
            if free {
                return Ok(Self { base, _lock: lock });
            }
        }
        bail!("no block of {BLOCK} free ports")
    }

    /// First port of the block.
    pub fn base(&self) -> u16 {
        self.base
    }
}
