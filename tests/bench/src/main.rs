//! Builds and measures the release binary and prints the numbers: `cargo run --release -p bench`.
//!
//! With names of scenarios (`emf`, `queue`, `series`, `forward`, `default`, `size`) only those run. Two run only by name:
//! `node`, which makes 110 pods' control groups and takes root, and `long`, which is the same for 10,000 collections.
//! `INSIGHTS_BINARY` names another binary to measure.

use std::io::Write as _;

use anyhow::Result;
use bench::scenarios::Delivery;
use bench::{report, scenarios};

fn main() -> Result<()> {
    bench::collector::build()?;
    let chosen: Vec<String> = std::env::args().skip(1).collect();
    let wanted = |name: &str| chosen.is_empty() || chosen.iter().any(|chosen| chosen == name);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut rows = Vec::new();
    if wanted("emf") {
        rows.extend(runtime.block_on(scenarios::emf(Delivery::Awaited))?);
    }
    let plain = rows.first().map(report::Row::value);
    if wanted("queue") {
        rows.extend(runtime.block_on(scenarios::emf(Delivery::Queued))?);
    }
    if wanted("series") {
        rows.extend(runtime.block_on(scenarios::many_series(plain))?);
    }
    if wanted("forward") {
        rows.extend(runtime.block_on(scenarios::forward())?);
    }
    if wanted("default") {
        rows.extend(scenarios::default_configuration()?);
    }
    if wanted("size") {
        rows.extend(scenarios::size()?);
    }
    for (name, collections) in [("node", scenarios::COLLECTIONS), ("long", scenarios::MANY_COLLECTIONS)] {
        if chosen.iter().any(|chosen| chosen == name) {
            rows.extend(runtime.block_on(scenarios::full_node(collections))?);
        }
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}\n\n{}", report::machine(), report::table(&rows))?;
    Ok(())
}
