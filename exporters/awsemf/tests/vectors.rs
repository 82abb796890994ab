//! The recorded cases, translated in-process. The conformance tests replay the same through the binary.

#![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

mod sink;

use awsemfexporter::{Config, Translator};
use component::Config as _;
use confmap::Problems;
use pdata::{Batch, Signal};
use sink::{Recorded, Recorder};
use testkit::emf::{Case, Event, Expected, directory, own_expectations};

const NOW: i64 = 1_800_000_000_000;

/// The events of a case; written in plain text and escaped they are the same.
fn translate(case: &Case) -> Result<Vec<Event>, String> {
    let events = record::<true>(case)?;
    let texts = |events: &[Recorded]| -> Vec<(u32, String)> {
        events.iter().map(|event| (event.items, event.message.clone())).collect()
    };
    assert_eq!(texts(&events), texts(&record::<false>(case)?), "{}", case.name);
    let event = |recorded: Recorded| Event {
        group: Some(recorded.group),
        stream: Some(recorded.stream),
        timestamp: Some(recorded.timestamp_ms),
        message: recorded.message,
    };
    Ok(events.into_iter().map(event).collect())
}

fn record<const ESCAPED: bool>(case: &Case) -> Result<Vec<Recorded>, String> {
    let text = case.exporter_config("http://127.0.0.1:1");
    let config: Config = confmap::from_yaml(&text).map_err(|problems| problems.to_string())?;
    let mut problems = Problems::default();
    config.validate(&mut problems);
    problems.into_result().map_err(|problems| problems.to_string())?;
    let mut translator = Translator::new(&config.emf, ESCAPED).map_err(|error| error.to_string())?;
    let mut sink = Recorder::<ESCAPED>::default();
    for input in case.moved_inputs(NOW) {
        let batch = Batch::from_json(Signal::Metrics, &input).map_err(|error| error.to_string())?;
        translator.translate(&batch, NOW, &mut sink);
    }
    Ok(sink.events)
}

#[test]
fn recorded_cases() {
    let Some(directory) = directory("awsemf") else {
        eprintln!("no recorded cases at hand");
        return;
    };
    let cases = Case::all(&directory, &own_expectations()).unwrap();
    assert!(!cases.is_empty());
    let mut failed = Vec::new();
    for case in &cases {
        let result = match (translate(case), &case.expected) {
            (Err(error), Expected::Refusal(text)) if error.contains(text) => Ok(()),
            (Err(error), _) => Err(error),
            (Ok(events), _) => case.compare(&events, NOW),
        };
        if let Err(difference) = result {
            failed.push(format!("{}: {difference}", case.name));
        }
    }
    assert!(failed.is_empty(), "{} of {} cases differ:\n{}", failed.len(), cases.len(), failed.join("\n"));
}
