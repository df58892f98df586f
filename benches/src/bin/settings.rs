//! Nanoseconds of a settings read as requests make it, beside loads of a plain `Arc` by the ways that are known to be fast.

use anyhow::Result;
use openadp_benches::{median, report, runs};
use openadp_settings::{Context, Kind, Module, Parameter, Registry, Settings as _, Store, Tree, context};
use std::hint::black_box;
use std::sync::{Arc, RwLock};
use std::time::Instant;

/// Reads of one measurement.
const READS: u32 = 10_000_000;

context! {
    /// As a context of the web container: some numbers.
    pub struct Limits = Context::single(Tree::Adp, "System/Limits") => {
        /// A time.
        pub timeout: u32 = Parameter::new("timeout", Kind::integer(1, 60_000)).default("2000");
        /// A size.
        pub size: u32 = Parameter::new("size", Kind::integer(1, 1_000_000)).default("65536");
        /// A text.
        pub realm: String = Parameter::new("realm", Kind::text(1, 80)).default("BroadWorks");
    }
}

/// Nanoseconds of one call.
fn time(read: impl Fn()) -> f64 {
    let start = Instant::now();
    for _ in 0..READS {
        read();
    }
    start.elapsed().as_secs_f64() * 1e9 / f64::from(READS)
}

fn main() -> Result<()> {
    let module = Module::new("bench").contexts(&[Limits::CONTEXT]);
    let store = Store::in_memory(Registry::new([module])?);
    let live = store.live::<Limits>();
    let plain: Arc<Limits> = live.load();
    let swap = arc_swap::ArcSwap::new(plain.clone());
    let locked = RwLock::new(plain.clone());
    let (mut ours, mut cloned, mut swapped, mut under_lock) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..runs() {
        ours.push(time(|| {
            black_box(live.load().timeout);
        }));
        cloned.push(time(|| {
            black_box(Arc::clone(black_box(&plain)).timeout);
        }));
        swapped.push(time(|| {
            black_box(swap.load_full().timeout);
        }));
        under_lock.push(time(|| {
            black_box(locked.read().map_or(0, |held| Arc::clone(&held).timeout));
        }));
    }
    let allocations = allocation_counter::measure(|| {
        for _ in 0..1000 {
            black_box(live.load().timeout);
        }
    });
    let verdict =
        if allocations.count_total == 0 && median(&ours) < median(&under_lock) { "met" } else { "NOT met" };
    report(&format!(
        "settings: a read {:.1} ns, {} allocations in 1000 (no lock, none): {verdict}; beside it a clone of an Arc {:.1} ns, ArcSwap::load_full {:.1} ns, an Arc behind RwLock {:.1} ns",
        median(&ours),
        allocations.count_total,
        median(&cloned),
        median(&swapped),
        median(&under_lock)
    ));
    Ok(())
}
