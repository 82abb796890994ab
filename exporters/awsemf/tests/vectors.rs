//! The recorded cases, translated in-process. The conformance tests replay the same through the binary.

use awsemfexporter::{Config, Translator};
use component::Config as _;
use confmap::Problems;
use pdata::{Batch, Signal};
use testkit::emf::{Case, Event, Expected, directory, own_expectations};

const NOW: i64 = 1_800_000_000_000;

fn translate(case: &Case) -> Result<Vec<Event>, String> {
    let text = case.exporter_config("http://127.0.0.1:1");
    let config: Config = confmap::from_yaml(&text).map_err(|problems| problems.to_string())?;
    let mut problems = Problems::default();
    config.validate(&mut problems);
    problems.into_result().map_err(|problems| problems.to_string())?;
    let mut translator = Translator::new(&config.emf).map_err(|error| error.to_string())?;
    let mut events = Vec::new();
    for input in case.moved_inputs(NOW) {
        let batch = Batch::from_json(Signal::Metrics, &input).map_err(|error| error.to_string())?;
        translator.translate(&batch, NOW, |event| {
            events.push(Event {
                group: Some(event.group.to_owned()),
                stream: Some(event.stream.to_owned()),
                timestamp: Some(event.timestamp_ms),
                message: event.message.to_owned(),
            });
        });
    }
    Ok(events)
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
