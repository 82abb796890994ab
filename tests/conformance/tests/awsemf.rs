//! The awsemf exporter: one test per recorded case.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use conformance::Collector;
use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::{Value, json};
use testkit::cwlogs::CloudWatchLogs;
use testkit::emf::{Case, Expected, directory, own_expectations};
use tokio::runtime::Runtime;

fn main() -> Result<ExitCode> {
    let arguments = Arguments::from_args();
    let trials = match directory("awsemf") {
        Some(directory) => {
            let runtime = Arc::new(Runtime::new()?);
            Case::all(&directory, &own_expectations())?
                .into_iter()
                .map(|case| trial(case, runtime.clone()))
                .collect()
        }
        None => vec![
            Trial::test("the recorded cases are not at hand: set CONFORMANCE_VECTORS", || Ok(()))
                .with_ignored_flag(true),
        ],
    };
    Ok(libtest_mimic::run(&arguments, trials).exit_code())
}

fn trial(case: Case, runtime: Arc<Runtime>) -> Trial {
    Trial::test(case.name.clone(), move || {
        runtime.block_on(run(&case)).map_err(|error| Failed::from(format!("{error:#}")))
    })
}

async fn run(case: &Case) -> Result<()> {
    let service = CloudWatchLogs::start().await?;
    let mut collector = Collector::spawn(&case.config, &service.endpoint())?;
    if let Expected::Refusal(text) = &case.expected {
        let refusal = collector.refusal().await?;
        ensure!(refusal.output.contains(text), "refused, but without {text:?}:\n{}", refusal.output);
        return Ok(());
    }
    collector.ready().await?;
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
    for (input, accepted) in case.moved_inputs(now).iter().zip(&case.accepted) {
        let answered = collector.send(input).await.with_context(|| collector.log())?;
        ensure!(answered == *accepted, "answered with success: {answered}\n{}", collector.log());
    }
    let recorded = service.recorded();
    ensure!(recorded.violations.is_empty(), "wrong requests: {:?}", recorded.violations);
    case.compare(&recorded.events, now).map_err(anyhow::Error::msg)?;
    let control = json!({"retention": recorded.retention, "tags": recorded.tags});
    for (call, expected) in case.control.as_object().into_iter().flatten() {
        ensure!(
            control.get(call) == Some(expected),
            "{call}: {:?}",
            control.get(call).unwrap_or(&Value::Null)
        );
    }
    Ok(())
}
