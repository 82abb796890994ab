//! What processors share: values as users write them, and rules by which items are chosen.
//!
//! | | |
//! |---|---|
//! | [`AnyValue`] | a value of any type in a configuration |
//! | [`Texts`] | texts, written out or as regular expressions |
//! | [`ActionConfig`], [`Action`] | what is done to attributes |
//! | [`Criteria`], [`Matcher`] | `include` and `exclude` |

mod actions;
mod any_value;
mod matcher;
mod texts;

pub use actions::{Action, ActionConfig, Attributes, PlaceAttributes, actions};
pub use any_value::AnyValue;
pub use matcher::{AttributeConfig, Criteria, Library, Matcher, SeverityNumber};
pub use texts::{MatchType, RegexpCache, Texts};
