//! Actions on attributes: the list that the processors `resource` and `attributes` have in common.

mod action;
mod compile;

use pdata::rewrite::{Field, Place};
use pdata::{AnyValueView, KeyValueView, KeyValues, ResourceEditor, Value};
use serde::Deserialize;

use crate::AnyValue;

pub use action::Action;
pub use compile::actions;

/// One action.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ActionConfig {
    /// The attribute that is changed.
    pub key: String,
    /// `insert`, `update`, `upsert`, `delete`, `hash`, `extract` or `convert`, in any case.
    pub action: String,
    /// The new value; of `delete`, the text that the attribute must have.
    pub value: Option<AnyValue>,
    /// The attribute whose value is taken.
    pub from_attribute: String,
    /// What is taken from the request: `client.address`, `metadata.<key>`, `auth.<key>`, or `<key>` for metadata.
    pub from_context: String,
    /// The value where what should be taken is missing.
    pub default_value: Option<AnyValue>,
    /// A regular expression: on keys for `delete` and `hash`, on the value for `extract`.
    pub pattern: String,
    /// The type that `convert` makes: `string`, `int` or `double`.
    pub converted_type: String,
}

/// Attributes that actions change.
pub trait Attributes {
    /// The attributes as they are now.
    fn pairs(&self) -> KeyValues<'_>;

    /// Sets an attribute, whether or not it is there.
    fn set(&mut self, key: &str, value: &Value);

    /// Removes the attributes for which `keep` says no.
    fn retain(&mut self, keep: &mut dyn FnMut(&KeyValueView<'_>) -> bool);

    /// The value of an attribute.
    fn get(&self, key: &str) -> Option<AnyValueView<'_>> {
        self.pairs().get(key)
    }
}

impl Attributes for ResourceEditor<'_> {
    fn pairs(&self) -> KeyValues<'_> {
        self.attributes()
    }

    fn set(&mut self, key: &str, value: &Value) {
        self.upsert(key, value);
    }

    fn retain(&mut self, keep: &mut dyn FnMut(&KeyValueView<'_>) -> bool) {
        ResourceEditor::retain(self, keep);
    }
}

/// The attributes in a field of a place.
#[derive(Debug)]
pub struct PlaceAttributes<'e, 'p> {
    /// The place.
    pub place: &'e mut Place<'p>,
    /// The field.
    pub field: Field,
}

impl Attributes for PlaceAttributes<'_, '_> {
    fn pairs(&self) -> KeyValues<'_> {
        self.place.attributes(self.field)
    }

    fn set(&mut self, key: &str, value: &Value) {
        self.place.set_attribute(self.field, key, value);
    }

    fn retain(&mut self, keep: &mut dyn FnMut(&KeyValueView<'_>) -> bool) {
        self.place.retain_attributes(self.field, keep);
    }
}
