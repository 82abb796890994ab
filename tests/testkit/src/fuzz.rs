//! The bodies of the fuzz targets, as plain functions: a fuzzer calls them with what it makes up, `cargo test` with the
//! corpus.

mod otlp;

use std::collections::BTreeMap;

use helper::json::Reader;
use pdata::{Batch, Signal};
use serde::de::IgnoredAny;

pub use otlp::{otlp_json, otlp_protobuf};

/// The name of a target, which is its corpus' folder, and its body.
pub type Target = (&'static str, fn(&[u8]));

/// All targets. A new one also needs a file in `tests/fuzz/fuzz_targets` and an entry in `tests/fuzz/Cargo.toml`.
pub const TARGETS: &[Target] = &[
    ("aws_answers", aws_answers),
    ("configuration", configuration),
    ("decompression", decompression),
    ("dns_answer", dns_answer),
    ("exposition", exposition),
    ("json_reader", json_reader),
    ("kernel_files", kernel_files),
    ("kubeconfig", kubeconfig),
    ("kubernetes_list", kubernetes_list),
    ("kubernetes_watch", kubernetes_watch),
    ("otlp_json", otlp_json),
    ("otlp_protobuf", otlp_protobuf),
    ("ottl", statements),
    ("stored_records", stored_records),
    ("trace_state", trace_state),
];

/// How much a compressed body may unfold to.
const UNFOLDED: usize = 64 * 1024;

/// A machine without files and variables.
struct Bare;

impl confmap::Environment for Bare {
    fn read_file(&self, _: &std::path::Path) -> std::io::Result<Vec<u8>> {
        Err(std::io::ErrorKind::NotFound.into())
    }

    fn variable(&self, _: &str) -> Option<String> {
        None
    }
}

/// Any bytes as what EC2 and ECS answer: refused or read, with names that are parts of them.
pub fn aws_answers(bytes: &[u8]) {
    let _ = (aws::ec2::answer::refusal(bytes), aws::ec2::answer::instances(bytes));
    if let Ok(page) = aws::ec2::answer::tags(bytes) {
        let length: usize = page.items.iter().map(|tag| tag.key.len() + tag.value.len()).sum();
        assert!(length <= bytes.len(), "references do not unfold");
    }
    if let Ok(page) = aws::ec2::answer::volumes(bytes, "i-1") {
        assert!(page.items.iter().all(|volume| !volume.device.is_empty()));
    }
    let _ = (aws::ecs::Task::from_json(bytes), aws::ecs::Container::from_json(bytes));
    if let Ok(instance) = aws::ecs::ContainerInstance::from_json(bytes) {
        assert!(!instance.id.contains('/'), "{instance:?}");
    }
    for task in aws::ecs::AgentTask::list_from_json(bytes).unwrap_or_default() {
        assert!(task.id().is_none_or(|id| !id.is_empty() && !id.contains('/')), "{task:?}");
    }
}

/// Any text as a configuration: refused with problems that have words, or resolved and printed.
pub fn configuration(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match confmap::Resolver::default().builtin("fuzz", &text).resolve(&Bare) {
        Ok(conf) => {
            let printed = conf.to_yaml(confmap::Redaction::Unredacted);
            let again = confmap::Node::from_yaml("printed", &printed);
            assert!(again.is_ok_and(|again| again == *conf.root()), "what is printed reads back: {printed}");
        }
        Err(problems) => {
            assert!(!problems.is_empty());
            assert!(!problems.render_snippets(problems.sources()).is_empty());
        }
    }
}

/// Any bytes as the answer of a name server: not understood, or records of which no name is longer than the message lets it
/// be.
pub fn dns_answer(bytes: &[u8]) {
    for record in net::dns::records(bytes).unwrap_or_default() {
        assert!(record.name.len() <= 4096);
    }
}

/// Any bytes as a body in each encoding: refused, or no larger than the limit.
pub fn decompression(bytes: &[u8]) {
    for encoding in net::Encoding::ALL {
        if let Ok(unfolded) = encoding.decompress(bytes, UNFOLDED) {
            assert!(unfolded.len() <= UNFOLDED, "{}: {} bytes", encoding.as_str(), unfolded.len());
        }
    }
}

/// Any bytes as what a Prometheus endpoint exposes: the same lines whatever the parts that they come in, and labels that are
/// labels.
pub fn exposition(bytes: &[u8]) {
    use helper::exposition::{Line, Reader};

    let read = |step: usize| {
        let (mut reader, mut seen) = (Reader::default(), Vec::new());
        let wanted = |name: &[u8]| !name.starts_with(b"un");
        let mut take = |line: Line<'_>| {
            if let Line::Sample(sample) = &line {
                assert!(!sample.name.is_empty(), "{line:?}");
                let names = sample.labels.iter().map(|(name, _)| name);
                assert!(names.into_iter().all(|name| !name.is_empty() && sample.labels.get(name).is_some()));
            }
            seen.push(format!("{line:?}"));
        };
        bytes.chunks(step).for_each(|part| reader.feed(part, wanted, &mut take));
        reader.finish(wanted, &mut take);
        (seen, reader.malformed())
    };
    assert_eq!(read(1), read(bytes.len().max(1)));
    assert_eq!(read(7), read(64));
}

/// Any text to the reader that looks for a few members: JSON is what the JSON parser says, and texts read alike.
pub fn json_reader(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut reader = Reader::new(&text);
    let is_json = reader.skip().is_some() && reader.end().is_some();
    // The parser has no limit for the depth of what it ignores.
    if text.len() < helper::json::MAX_DEPTH {
        assert_eq!(is_json, serde_json::from_str::<IgnoredAny>(&text).is_ok(), "{text:?}");
    }
    let mut texts = BTreeMap::new();
    let read = Reader::new(&text).members(|reader, key| {
        texts.remove(&key);
        if reader.peek()? != b'"' {
            return reader.skip();
        }
        texts.insert(key, reader.string()?);
        Some(())
    });
    if let (Some(()), true, Ok(tree)) = (read, is_json, serde_json::from_str::<serde_json::Value>(&text)) {
        let texts: BTreeMap<&str, &str> = texts.iter().map(|(key, text)| (&**key, &**text)).collect();
        let members = tree.as_object().into_iter().flatten();
        let expected = members.filter_map(|(key, value)| Some((key.as_str(), value.as_str()?))).collect();
        assert_eq!(texts, expected, "{text:?}");
    }
}

/// Any text as a kubeconfig: a server with a host, or a reason that names the file.
pub fn kubeconfig(bytes: &[u8]) {
    let (text, path) = (String::from_utf8_lossy(bytes), std::path::Path::new("/fuzz/kubeconfig"));
    match k8s::ApiServerConfig::from_kubeconfig_text(&text, path, None) {
        Ok(config) => {
            // Whether the server can be asked is another question; no answer to it may be a panic.
            let _ = k8s::ApiServer::new(config);
        }
        Err(error) => assert!(error.to_string().contains("/fuzz/kubeconfig"), "{error}"),
    }
}

/// Any bytes as a list of the API server's, as several kinds of rows: the same rows and the same end whatever the parts that
/// they come in.
pub fn kubernetes_list(bytes: &[u8]) {
    list::<k8s::row::Pod>(bytes);
    list::<k8s::row::Node>(bytes);
    list::<k8s::row::EndpointSlice>(bytes);
    list::<k8s::row::Deployment>(bytes);
}

fn list<R: k8s::row::Row>(bytes: &[u8]) {
    let (projection, interner) = (k8s::Projection::all(), k8s::Interner::default());
    let read = |step: usize| {
        let (mut reader, mut rows) = (k8s::wire::ListReader::default(), Vec::<Option<R>>::new());
        let mut fed = bytes.chunks(step).map(|part| {
            reader.feed(part, &projection, &interner, |row| {
                rows.push(row.ok());
                Ok(())
            })
        });
        let end = fed.find_map(Result::err);
        let end = end.map_or_else(
            || reader.finish().map_err(|error| error.to_string()),
            |error| Err(error.to_string()),
        );
        // An answer that is no list is quoted as far as it came.
        (rows, end.map_err(|words| words.split(':').next().map(str::to_owned)))
    };
    let (whole, bytewise) = (read(bytes.len().max(1)), read(1));
    assert!(whole.0 == bytewise.0, "other rows");
    assert_eq!(whole.1, bytewise.1);
}

/// Any bytes as the answer of a watch: the same events whatever the parts that they come in.
pub fn kubernetes_watch(bytes: &[u8]) {
    use k8s::row::Pod;
    use k8s::wire::{Event, EventReader};

    let (projection, interner) = (k8s::Projection::all(), k8s::Interner::default());
    let read = |step: usize| {
        let (mut reader, mut seen) = (EventReader::default(), Vec::new());
        let mut fed = bytes.chunks(step).map(|part| {
            reader.feed(part, &projection, &interner, |event: Event<Pod>| {
                seen.push(match event {
                    Event::Applied(decoded) => (decoded.version, Some(decoded.row)),
                    Event::Undecodable { version, .. }
                    | Event::Deleted { version, .. }
                    | Event::Bookmark { version, .. } => (version, None),
                });
            })
        });
        let end = fed.find_map(Result::err).map(|error| error.to_string());
        (seen, end)
    };
    let (whole, bytewise) = (read(bytes.len().max(1)), read(1));
    assert!(whole.0 == bytewise.0, "other events");
    assert_eq!(whole.1, bytewise.1);
}

/// Any bytes as each of the kernel's files.
pub fn kernel_files(bytes: &[u8]) {
    let _ = node::parse_cpuacct_stat(bytes);
    let _ = node::parse_cpu_stat(bytes);
    let _ = node::parse_proc_stat(bytes);
    let _ = node::parse_cpuinfo(bytes);
    let _ = node::parse_blkio(bytes);
    let _ = node::parse_io_stat(bytes);
    let _ = node::parse_diskstats(bytes).count();
    let _ = (node::parse_memory_stat_v1(bytes, true), node::parse_memory_stat_v1(bytes, false));
    let _ = node::parse_memory_stat_v2(bytes);
    let _ = node::parse_meminfo(bytes);
    let _ = node::parse_vmstat(bytes);
    let _ = node::parse_mountinfo(bytes).count();
    let _ = node::parse_net_dev(bytes, node::IGNORED_INTERFACE_PREFIXES);
    let _ = node::parse_throttling(bytes);
    let _ = (node::parse_memory_events(bytes), node::parse_oom_control(bytes));
    let _ = node::parse_cpu_max(bytes).map(|quota| quota.millicores());
    let _ = node::parse_proc_cgroup(bytes);
    let _ = (node::parse_procs(bytes).count(), node::parse_pid_namespaces(bytes));
    let _ = std::str::from_utf8(bytes).map(node::parse_container_name);
    if let Some(path) = node::parse_upper_directory(bytes) {
        assert!(path.is_absolute() && !path.components().any(|part| part.as_os_str() == ".."), "{path:?}");
    }
}

/// Any text as a statement and as a condition of every context: refused at a place in it, or run without harm.
pub fn statements(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for signal in Signal::ALL {
        let batch = match signal {
            Signal::Metrics => crate::gauges(1, 1),
            Signal::Logs => crate::logs(1),
            Signal::Traces => crate::spans(1),
        };
        let contexts = ottl::Context::names(signal).iter();
        for context in contexts.filter_map(|name| ottl::Context::named(signal, name)) {
            let condition = ottl::Condition::parse(&text, &context);
            let statement = ottl::Statement::parse(&text, &context);
            for error in [condition.as_ref().err(), statement.as_ref().err()].into_iter().flatten() {
                assert!(error.line >= 1 && error.line <= text.matches('\n').count() + 1, "{error}");
                assert!(error.column >= 1 && error.column <= text.chars().count() + 1, "{error}");
            }
            let mut run = |level, place: &mut pdata::rewrite::Place<'_>| {
                if level == context.level() {
                    let mut env = ottl::Env::new(place);
                    let _ = condition.as_ref().map(|condition| condition.holds(&env).is_ok());
                    let _ = statement.as_ref().map(|statement| statement.run(&mut env).is_ok());
                }
                pdata::rewrite::Verdict::Descend
            };
            let changed = batch.clone().rewrite(&mut run);
            let again = Batch::from_protobuf(signal, changed.to_protobuf());
            assert_eq!(again, Ok(changed), "what a statement writes is a valid request");
        }
    }
}

/// Any bytes as the files of a journal: a segment, whose length the first two bytes say, and its acknowledgements. What is
/// taken for a record can be read, acknowledged and found again.
pub fn stored_records(bytes: &[u8]) {
    use helper::storage::{Journal, JournalConfig, JournalError};

    let Some((length, rest)) = bytes.split_first_chunk() else { return };
    let (log, acks) = rest.split_at(usize::from(u16::from_le_bytes(*length)).min(rest.len()));
    let Ok(folder) = tempfile::tempdir() else { return };
    let area = component::StorageArea {
        directory: folder.path().to_owned(),
        // The lock is inherited by the children of other tests for a moment.
        timeout: std::time::Duration::from_secs(60),
        ..component::StorageArea::default()
    };
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).is_ok();
    assert!(
        write("0000000000000001.log", log) && write("0000000000000001.ack", acks),
        "a folder to write to"
    );
    let open = || {
        let mut pending = Vec::new();
        let config = JournalConfig { segment_bytes: 100, ..JournalConfig::default() };
        let journal = Journal::open(&area, config, |id, payload| pending.push((id, payload.to_vec())));
        journal.map(|journal| (journal, pending))
    };
    let (journal, mut pending) = match open() {
        Ok(opened) => opened,
        Err(error) => {
            assert!(matches!(error, JournalError::Version { .. }), "{error:?}");
            return;
        }
    };
    assert!(pending.is_sorted_by_key(|(id, _)| *id), "in order");
    let appended = journal.append(&[b"one ", b"more"]);
    pending.extend(appended.map(|id| (id, b"one more".to_vec())));
    for (id, payload) in &pending {
        assert!(journal.read(*id).is_ok_and(|read| read == *payload), "what is pending can be read");
    }
    let done = pending.len() / 2;
    pending.drain(..done).for_each(|(id, _)| journal.acknowledge(id));
    drop(journal);
    let again = open().map(|(journal, pending)| (journal.lost_records(), pending));
    assert!(again.is_ok_and(|again| again == (0, pending)), "what is not acknowledged comes again");
}

/// Any text as the trace state of a span, in every mode of the sampler: the span is dropped, or what is written of it is a
/// valid request; and what is kept of a share is kept again of the same share.
pub fn trace_state(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let span = serde_json::json!({"traceId": "0102030405060708090a0b0c0d0e0f10", "traceState": text});
    let request = serde_json::json!({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]});
    let Ok(batch) = Batch::from_json(Signal::Traces, request.to_string().as_bytes()) else { return };
    for mode in ["hash_seed", "equalizing", "proportional"] {
        let yaml = format!("{{mode: {mode}, sampling_percentage: 60, fail_closed: true}}");
        for kept in sampled(&yaml, batch.clone()) {
            let again = Batch::from_protobuf(Signal::Traces, kept.to_protobuf());
            assert_eq!((kept.items(), again.as_ref()), (1, Ok(&kept)), "what is kept is a valid request");
            if mode == "equalizing" {
                assert_eq!(sampled(&yaml, kept.clone()), [kept], "{text:?}");
            }
        }
    }
}

/// What the sampler keeps of a batch.
fn sampled(yaml: &str, batch: Batch) -> Vec<Batch> {
    let (factory, sink) = (probabilisticsamplerprocessor::factory(), crate::RecordingSink::new());
    let settings =
        crate::TestTelemetry::default().settings(component::Kind::Processor, "probabilistic_sampler");
    let pipeline = component::PipelineId::parse("traces").ok();
    let settings = component::Settings { pipeline, ..settings };
    let node = confmap::Node::from_yaml("fuzz", yaml).ok();
    let config = factory.decode(node.as_ref(), "processors::probabilistic_sampler").ok();
    let processor = config.and_then(|config| factory.create(settings, &config, sink.clone()).ok());
    let runtime = tokio::runtime::Builder::new_current_thread().build().ok();
    assert!(processor.is_some() && runtime.is_some(), "a sampler");
    let (Some(processor), Some(runtime)) = (processor, runtime) else { return Vec::new() };
    assert!(runtime.block_on(processor.consume(batch)).is_ok(), "nothing is refused");
    sink.batches()
}
