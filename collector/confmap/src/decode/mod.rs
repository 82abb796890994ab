//! From [`Node`]s to the components' structs, strictly, with every problem reported at once.
//!
//! A failing value is reported and left out, and the struct is decoded again without it, until nothing fails: serde
//! knows no other way of going on after a failure.

mod access;
mod context;
mod error;
mod node;
mod squash;
mod text;

use serde::de::DeserializeOwned;

use self::context::{Context, Path};
use self::node::NodeDeserializer;
pub(crate) use self::node::{OPTIONAL, OVER, RAW};
use crate::node::Node;
use crate::problems::{Problem, Problems};

/// Reports of one block before decoding gives up.
const MAX_PROBLEMS: usize = 100;

/// Decodes one block; `path` is where it stands in the configuration (`exporters::awsemf/prod`).
///
/// Nothing and null mean the default.
///
/// # Errors
/// Every type mismatch, malformed value and unknown key in the block, with path and place.
pub fn decode<T: DeserializeOwned + Default>(node: Option<&Node>, path: &str) -> Result<T, Problems> {
    let Some(node) = node.filter(|node| !node.is_null()) else { return Ok(T::default()) };
    let context = Context::default();
    let root = Path::root(path);
    loop {
        let known = context.lessons();
        match T::deserialize(NodeDeserializer::new(&context, node, &root)) {
            Ok(value) if context.is_clean() => return Ok(value),
            // Something was learnt, so the next attempt gets further.
            Err(error) if error.is_handled() && context.lessons() > known && context.len() < MAX_PROBLEMS => {
            }
            Ok(_) => break,
            Err(error) => {
                context.attribute(&root, node.span.as_ref(), error);
                break;
            }
        }
    }
    Err(context.into_problems())
}

/// Decodes YAML text without expanding references; for tests and for defaults written as YAML.
///
/// # Errors
/// That the text is no YAML, or what [`decode`] finds.
pub fn from_yaml<T: DeserializeOwned + Default>(yaml: &str) -> Result<T, Problems> {
    let node = Node::from_yaml("yaml", yaml).map_err(Problem::into_problems)?;
    decode(Some(&node), "")
}

impl Problem {
    fn into_problems(self) -> Problems {
        Problems::from(self)
    }
}
