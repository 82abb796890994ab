//! The list of what a distribution is made of.

use std::collections::BTreeMap;

use crate::{ExporterFactory, ExtensionFactory, Gates, Meta, ProcessorFactory, ReceiverFactory};

/// All factories of a distribution, by type and alias.
#[derive(Default)]
pub struct Registry {
    receivers: BTreeMap<&'static str, ReceiverFactory>,
    processors: BTreeMap<&'static str, ProcessorFactory>,
    exporters: BTreeMap<&'static str, ExporterFactory>,
    extensions: BTreeMap<&'static str, ExtensionFactory>,
    gates: Gates,
}

/// Lists, adds and finds the factories of one kind.
macro_rules! kind {
    ($field:ident, $add:ident, $factory:ty) => {
        #[doc = concat!("Adds to the ", stringify!($field), ".")]
        pub fn $add(&mut self, factory: $factory) -> &mut Self {
            self.$field.insert(factory.meta.kind, factory);
            self
        }

        #[doc = concat!("The ", stringify!($field), ", sorted by type.")]
        pub fn $field(&self) -> impl Iterator<Item = &$factory> {
            self.$field.values()
        }
    };
}

impl Registry {
    kind!(receivers, receiver, ReceiverFactory);
    kind!(processors, processor, ProcessorFactory);
    kind!(exporters, exporter, ExporterFactory);
    kind!(extensions, extension, ExtensionFactory);

    /// Sets the feature gates that components are built with.
    pub fn set_gates(&mut self, gates: Gates) -> &mut Self {
        self.gates = gates;
        self
    }

    /// The feature gates that components are built with.
    pub fn gates(&self) -> &Gates {
        &self.gates
    }

    /// The receiver of a type or alias.
    pub fn find_receiver(&self, kind: &str) -> Option<&ReceiverFactory> {
        find(&self.receivers, kind, |factory| &factory.meta)
    }

    /// The processor of a type or alias.
    pub fn find_processor(&self, kind: &str) -> Option<&ProcessorFactory> {
        find(&self.processors, kind, |factory| &factory.meta)
    }

    /// The exporter of a type or alias.
    pub fn find_exporter(&self, kind: &str) -> Option<&ExporterFactory> {
        find(&self.exporters, kind, |factory| &factory.meta)
    }

    /// The extension of a type or alias.
    pub fn find_extension(&self, kind: &str) -> Option<&ExtensionFactory> {
        find(&self.extensions, kind, |factory| &factory.meta)
    }
}

fn find<'a, F>(
    factories: &'a BTreeMap<&'static str, F>,
    kind: &str,
    meta: impl Fn(&F) -> &Meta,
) -> Option<&'a F> {
    factories.get(kind).or_else(|| {
        factories.values().find(|factory| {
            let meta = meta(factory);
            meta.aliases.contains(&kind) || meta.deprecated_aliases.contains(&kind)
        })
    })
}
