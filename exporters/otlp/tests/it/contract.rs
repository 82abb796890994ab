//! What every exporter owes its pipeline.

use std::sync::Arc;

use component::{Code, Host, async_trait};
use net::{Server, Status};
use pdata::{Batch, Signal};
use testkit::contract::{Answer, Destination, ExporterContract};

use crate::peer::Script;

struct Peer {
    signal: Signal,
    script: Script,
    server: Server,
}

#[async_trait]
impl Destination for Peer {
    fn yaml(&self) -> String {
        format!(
            "{{endpoint: '{}', tls: {{insecure: true}}, retry_on_failure: {{initial_interval: 1ms, max_interval: 1ms}}}}",
            self.server.local_address()
        )
    }

    fn answer(&self, answers: &[Answer]) {
        self.script.answer(answers.iter().map(|answer| match answer {
            Answer::Accept => Ok(bytes::Bytes::new()),
            Answer::Retryable => Err(Status::new(Code::Unavailable, "later")),
            Answer::Permanent => Err(Status::new(Code::InvalidArgument, "never")),
        }));
    }

    fn items(&self) -> usize {
        let accepted = self.script.seen().into_iter().filter(|seen| seen.accepted);
        accepted.map(|seen| Batch::from_protobuf(self.signal, seen.message).unwrap().items()).sum()
    }

    async fn wait_for_items(&self, items: usize) {
        while self.items() < items {
            self.script.changed.notified().await;
        }
    }
}

#[tokio::test]
async fn contract() {
    let host = Host::standalone();
    let contract = ExporterContract::new(otlpexporter::factory(), "");
    contract
        .check_against(async |signal| {
            let script = Script::default();
            let server = script.serve(&host, "127.0.0.1:0", None).await;
            Arc::new(Peer { signal, script, server }) as Arc<dyn Destination>
        })
        .await;
}
