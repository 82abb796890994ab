//! The contract of exporters.

use testkit::contract::ExporterContract;

#[tokio::test(start_paused = true)]
async fn contract() {
    ExporterContract::new(nopexporter::factory(), "").uncounted().check().await;
}
