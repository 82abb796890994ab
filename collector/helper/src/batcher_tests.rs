use proptest::prelude::*;

use super::*;
use crate::QueueConfig;

fn config(yaml: &str) -> BatchConfig {
    confmap::from_yaml::<QueueConfig>(yaml).unwrap().batch.unwrap()
}

proptest! {
    #[test]
    fn batches_keep_every_item_in_order(
        sizes in proptest::collection::vec(1usize..30, 1..20),
        min in 1i64..20,
        above in 0i64..10,
        bytes: bool,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let mut config = config("batch: {}");
            (config.min_size, config.max_size) = (min, min + above);
            if bytes {
                config.sizer = Sizer::Bytes;
                config.min_size *= 50;
                config.max_size *= 50;
            }
            let queue = Queue::new(&QueueConfig { queue_size: 1000, sizer: Sizer::Items, ..QueueConfig::default() });
            let mut groups = Groups::new(&config);
            let (mut all, mut sent) = (Batch::empty(pdata::Signal::Metrics), Vec::new());
            for items in &sizes {
                let batch = testkit::gauges(1, *items);
                all.append(batch.clone()).unwrap();
                prop_assert!(queue.offer(batch).await.is_ok());
                sent.extend(groups.add(queue.take().await.unwrap()));
            }
            let rest = groups.take_all();
            prop_assert!(rest.iter().all(|group| config.sizer.size(&group.batch) < config.min_size as u64));
            sent.extend(rest);
            let max = config.max_size as u64;
            let mut joined = Batch::empty(pdata::Signal::Metrics);
            for group in sent {
                prop_assert!(group.batch.items() == 1 || config.sizer.size(&group.batch) <= max);
                prop_assert!(!group.batch.is_empty() && !group.tickets.is_empty());
                group.tickets.into_iter().for_each(|ticket| ticket.finish(Ok(())));
                joined.append(group.batch).unwrap();
            }
            prop_assert_eq!(names(&joined), names(&all));
            prop_assert_eq!(queue.used(), 0);
            Ok(())
        })?;
    }
}

fn names(batch: &Batch) -> Vec<String> {
    pdata::metrics::resources(batch)
        .flat_map(|resource| resource.scopes())
        .flat_map(|scope| scope.metrics())
        .map(|metric| metric.name.to_owned())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn too_many_partitions_send_the_oldest_early() {
    let mut groups = Groups::new(&config("batch: {partition: {metadata_keys: [k]}}"));
    let queue = Queue::new(&QueueConfig { queue_size: 20_000, ..QueueConfig::default() });
    let batch = testkit::gauges(1, 1);
    for number in 0..=MAX_PARTITIONS {
        let metadata = vec![("k".to_owned(), vec![number.to_string()])];
        let client = Some(Arc::new(ClientInfo { address: None, metadata }));
        queue.offer(batch.clone().with_client(client)).await.ok().unwrap();
        let ready = groups.add(queue.take().await.unwrap());
        assert_eq!(ready.len(), usize::from(number == MAX_PARTITIONS));
        if let Some(group) = ready.first() {
            assert_eq!(group.batch.client().unwrap().metadata[0].1, ["0"]);
        }
    }
    assert_eq!(groups.take_all().len(), MAX_PARTITIONS);
}
