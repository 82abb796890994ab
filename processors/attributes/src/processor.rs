//! Runs the actions.

use std::sync::Arc;

use async_trait::async_trait;
use component::telemetry::ProcessorMetrics;
use component::{BoxError, Component, ConsumeError, Consumer, Settings};
use confmap::Problems;
use pdata::rewrite::{Field, Level, Part, Place, Rewrite, Verdict};
use pdata::{Batch, ClientInfo, Signal};
use processing::{Action, Matcher, PlaceAttributes};

use crate::Config;

/// The processor.
pub(crate) struct AttributesProcessor {
    work: Work,
    items: ProcessorMetrics,
    next: Arc<dyn Consumer>,
}

/// What is done to which items.
struct Work {
    actions: Vec<Action>,
    include: Option<Matcher>,
    exclude: Option<Matcher>,
    field: Option<Field>,
    /// Where `include` and `exclude` are asked: metrics are taken or left as a whole.
    asked: Level,
}

/// The work on one request.
struct Run<'w> {
    work: &'w Work,
    client: Option<&'w ClientInfo>,
}

impl AttributesProcessor {
    pub(crate) fn new(
        settings: Settings,
        config: &Config,
        next: Arc<dyn Consumer>,
    ) -> Result<Self, BoxError> {
        let signal = settings.signal();
        let mut problems = Problems::default();
        let actions = processing::actions("actions", &config.actions, &mut problems);
        let mut matcher = |key: &str, properties: &Option<crate::MatchProperties>| {
            let properties = properties.as_ref()?;
            problems.at(key, |problems| properties.matcher(signal, problems))
        };
        let (include, exclude) = (matcher("include", &config.include), matcher("exclude", &config.exclude));
        problems.into_result()?;
        let asked = if signal == Signal::Metrics { Level::Metric } else { Level::Item };
        let field = Field::of(signal, Part::Item, "attributes");
        let work = Work { actions, include, exclude, field, asked };
        Ok(Self { work, items: ProcessorMetrics::new(&settings, signal), next })
    }
}

impl Work {
    fn concerns(&self, place: &Place<'_>) -> bool {
        self.include.as_ref().is_none_or(|matcher| matcher.matches(place))
            && !self.exclude.as_ref().is_some_and(|matcher| matcher.matches(place))
    }
}

impl Rewrite for Run<'_> {
    fn visit(&mut self, level: Level, place: &mut Place<'_>) -> Verdict {
        if level == self.work.asked && !self.work.concerns(place) {
            return Verdict::Keep;
        }
        if level < Level::Item {
            return Verdict::Descend;
        }
        if let Some(field) = self.work.field {
            let mut attributes = PlaceAttributes { place, field };
            self.work.actions.iter().for_each(|action| action.apply(&mut attributes, self.client));
        }
        Verdict::Keep
    }
}

impl Component for AttributesProcessor {}

#[async_trait]
impl Consumer for AttributesProcessor {
    async fn consume(&self, batch: Batch) -> Result<(), ConsumeError> {
        let items = batch.items();
        self.items.incoming(items);
        let client = batch.client().cloned();
        let batch = batch.rewrite(&mut Run { work: &self.work, client: client.as_deref() });
        self.items.outgoing(items);
        self.next.consume(batch).await
    }
}
